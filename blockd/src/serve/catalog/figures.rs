//! How the budgets of a catalog stand.

use imagegen::git::{self, Cache};

use super::{
    disk::{Load, Pool},
    plans::Plans,
};

/// How much of its budgets a catalog uses, and what it has done since it was made.
#[derive(Clone, Copy, Debug)]
pub struct CatalogFigures {
    /// Bytes of the plans of images, in use and kept; and their limit.
    pub plans: (u64, u64),
    /// Bytes of memory for blobs and trees; and their limit.
    pub cache: (usize, usize),
    /// Bytes of large blobs in the state directory; and their limit.
    pub spool: (u64, u64),
    /// Reads that go to a repository.
    pub reads: Load,
    /// Exports being opened, and listings.
    pub opening: Load,
    /// Bytes of blobs that were inflated.
    pub inflated: u64,
    /// Mapped files that have lost a page, in this process.
    pub damaged_maps: u64,
}

impl CatalogFigures {
    /// Of these budgets.
    pub(super) fn of(plans: &Plans, cache: &Cache, reads: &Pool, opening: &Pool) -> Self {
        Self {
            plans: plans.in_use(),
            cache: (cache.used(), cache.limit()),
            spool: cache.spooled(),
            reads: reads.load(),
            opening: opening.load(),
            inflated: cache.inflated(),
            damaged_maps: git::damaged_maps(),
        }
    }
}
