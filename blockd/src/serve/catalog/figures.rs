//! How the budgets of a catalog stand.

use imagegen::git::{self, Cache};

use super::{
    disk::{Load, Pool},
    ledger::Taken,
    plans::Plans,
    revision::RevisionRefusals,
};

/// How much of its budgets a catalog uses, and what it has done since it was made.
#[derive(Clone, Copy, Debug)]
pub struct CatalogFigures {
    /// Bytes of the plans of images: in use, kept, and being made.
    pub plans: Taken,
    /// Bytes of files that images in use and kept convert.
    pub converted: Taken,
    /// How many of them one image may convert.
    pub image_converted_limit: u64,
    /// Exports that were not opened, by the flag of the limit.
    pub refused: [(&'static str, u64); 8],
    /// Bytes of memory for blobs and trees; and their limit.
    pub cache: (usize, usize),
    /// Bytes of large blobs in the state directory; and their limit.
    pub spool: (u64, u64),
    /// Reads that go to a repository.
    pub reads: Load,
    /// Steps of prefetches.
    pub prefetches: Load,
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
        revisions: &RevisionRefusals,
        cache: &Cache,
        [reads, prefetches, opening, resolving]: [&Pool; 4],
    ) -> Self {
        let (memory, converted) = (plans.memory.taken(), plans.converted.taken());
        let (image_converted_limit, image_refused) = plans.of_one_image();
        let [search, commits, time] = revisions.counts();
        Self {
            plans: memory,
            converted,
            image_converted_limit,
            refused: [
                ("plans", memory.refused),
                ("peer-plans", memory.peer_refused),
                ("converted", image_refused),
                ("all-converted", converted.refused),
                ("peer-converted", converted.peer_refused),
                ("revision-search", search),
                ("revision-commits", commits),
                ("revision-time", time),
            ],
            cache: (cache.used(), cache.limit()),
            spool: cache.spooled(),
            reads: reads.load(),
            prefetches: prefetches.load(),
            opening: opening.load(),
            resolving: resolving.load(),
            inflated: cache.inflated(),
            damaged_maps: git::damaged_maps(),
        }
    }
}
