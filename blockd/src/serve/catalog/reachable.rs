//! `history=reachable`: a `.git` with what can be reached from the commit, and nothing
//! else.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use imagegen::{
    Error, Kind,
    git::{Bounds, ObjectId, Repository, Snapshot},
    image::Allowance,
};

use super::{opening::Shared, options::ReachableLimits, priority, waiting::Waited};

impl Shared {
    /// The snapshot of what can be reached from a commit. What finding it takes counts
    /// as the plan of an image does.
    pub(super) fn reachable(
        &self,
        repository: &Repository,
        commit: ObjectId,
        waited: &Waited,
    ) -> imagegen::Result<Arc<Snapshot>> {
        priority::plan();
        let ReachableLimits { bytes, time } = self.reachable;
        let forget = || self.disks.forget_unused() || self.images.forget_unused();
        let charges = self.plans.open(waited.peer);
        let planning = self
            .plans
            .planning(&charges, &self.cache, (&forget, waited));
        let begun = Instant::now();
        let memory = |bytes| {
            if begun.elapsed() > time {
                return Err(too_slow(time));
            }
            planning.memory(bytes)
        };
        let bounds = Bounds {
            memory: &memory,
            pack: bytes,
        };
        self.snapshots
            .take_reachable(repository, commit, &self.cache, &bounds)
    }
}

fn too_slow(time: Duration) -> Error {
    let text = format!(
        "it takes longer than {time:?} to find what can be reached from the commit: ask for \
         history=none, or start the server with a greater --reachable-time"
    );
    Error::new(Kind::Unsupported, text)
}
