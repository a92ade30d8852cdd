//! How the budgets of a catalog stand.

use imagegen::git;

use super::Catalog;

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

/// Work that is done in turn.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How much is being done.
    pub running: usize,
    /// How much may be done at once.
    pub limit: usize,
    /// How much waits for its turn.
    pub waiting: usize,
}

impl Catalog {
    /// How the budgets stand.
    pub fn figures(&self) -> CatalogFigures {
        let shared = &self.0;
        CatalogFigures {
            plans: shared.plans.in_use(),
            cache: (shared.cache.used(), shared.cache.limit()),
            spool: shared.cache.spooled(),
            reads: shared.pool.load(),
            opening: shared.opening.load(),
            inflated: shared.cache.inflated(),
            damaged_maps: git::damaged_maps(),
        }
    }

    /// How many snapshots are kept. Blocks.
    ///
    /// # Errors
    ///
    /// The state directory cannot be listed.
    pub fn snapshots(&self) -> anyhow::Result<usize> {
        Ok(self.0.snapshots.kept()?)
    }
}
