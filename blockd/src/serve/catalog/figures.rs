//! How the budgets of a catalog stand.

use imagegen::git::{self, Cache};

use super::{
    disk::{Load, Pool},
    ledger::Taken,
    plans::Plans,
};

/// How much of its budgets a catalog uses, and what it has done since it was made.
#[derive(Clone, Copy, Debug)]
pub struct CatalogFigures {
    /// Bytes of the plans of images: in use, kept, and being made.
    pub plans: Taken,
    /// Bytes of files that images in use and kept convert.
    pub converted: Taken,
    /// Bytes of memory for blobs and trees; and their limit.
    pub cache: (usize, usize),
    /// Bytes of large blobs in the state directory; and their limit.
    pub spool: (u64, u64),
    /// Reads that go to a repository.
    pub reads: Load,
    /// Exports being opened, and listings.
    pub opening: Load,
    /// Revisions that are being looked up.
    pub resolving: Load,
    /// Bytes of blobs that were inflated.
    pub inflated: u64,
    /// Mapped files that have lost a page, in this process.
    pub damaged_maps: u64,
}

impl CatalogFigures {
    /// Of these budgets.
    pub(super) fn of(
        plans: &Plans,
        cache: &Cache,
        [reads, opening, resolving]: [&Pool; 3],
    ) -> Self {
        Self {
            plans: plans.memory.taken(),
            converted: plans.converted.taken(),
            cache: (cache.used(), cache.limit()),
            spool: cache.spooled(),
            reads: reads.load(),
            opening: opening.load(),
            resolving: resolving.load(),
            inflated: cache.inflated(),
            damaged_maps: git::damaged_maps(),
        }
    }
}
