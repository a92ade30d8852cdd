//! Reading all trees of a commit ahead, with several threads.

use std::{
    collections::HashSet,
    num::NonZero,
    sync::{Condvar, Mutex, PoisonError},
    thread,
};

use gix::ObjectId;

use super::{EntryMode, Objects, sync::lock};

/// The most threads; more of them only compete for memory bandwidth.
const MAX_THREADS: usize = 8;

/// Prefetching stops when the cache has less free space than this, in bytes:
/// room for a listing.
const MIN_FREE: u64 = 1 << 20;

/// The trees that are still to be read, shared by the threads.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    pending: Vec<ObjectId>,
    seen: HashSet<ObjectId>,
    /// The number of threads that may still add trees.
    busy: usize,
}

impl Objects {
    /// Reads all trees below `root` with several threads, so that
    /// [`Objects::tree`] finds them in the cache, until the cache is full.
    ///
    /// A tree in the cache is assumed to have its subtrees there too, so of the
    /// next commit only the trees that changed are read. Trees that cannot be
    /// read are skipped: [`Objects::tree`] reports them.
    pub fn prefetch_trees(&self, root: ObjectId) {
        let queue = Queue::default();
        queue.add(std::iter::once(root));
        let threads = thread::available_parallelism()
            .map_or(1, NonZero::get)
            .min(MAX_THREADS);
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| queue.work(self));
            }
            queue.work(self);
        });
    }
}

impl Queue {
    fn work(&self, objects: &Objects) {
        while let Some((id, _busy)) = self.take() {
            if !objects.has_listing(id)
                && objects.cache().has_room(MIN_FREE)
                && let Ok(listing) = objects.tree(id)
            {
                let directories = listing.iter().filter(|e| e.mode == EntryMode::Directory);
                self.add(directories.map(|entry| entry.id.to_owned()));
            }
        }
    }

    fn add(&self, ids: impl Iterator<Item = ObjectId>) {
        let mut state = lock(&self.state);
        for id in ids {
            if state.seen.insert(id) {
                state.pending.push(id);
                self.changed.notify_one();
            }
        }
    }

    /// The next tree; `None` when none is left and no thread can add another.
    fn take(&self) -> Option<(ObjectId, Busy<'_>)> {
        let mut state = lock(&self.state);
        loop {
            if let Some(id) = state.pending.pop() {
                state.busy += 1;
                return Some((id, Busy(self)));
            }
            if state.busy == 0 {
                return None;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A thread that may add trees, until this is dropped.
struct Busy<'a>(&'a Queue);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.busy -= 1;
        if state.busy == 0 {
            self.0.changed.notify_all();
        }
    }
}
