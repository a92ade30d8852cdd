//! Trees read ahead by several threads.

use std::{
    collections::HashSet,
    num::NonZero,
    sync::{Condvar, Mutex, PoisonError},
    thread,
};

use gix::ObjectId;

use super::{Cache, EntryMode, Objects, sync::lock};

/// More threads than this only wait for memory.
const THREADS: usize = 8;

/// Room a listing may need at most before reading ahead stops, in bytes.
const ROOM: u64 = 1 << 20;

/// Trees still to be read, shared by the threads.
#[derive(Default)]
struct Work {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    open: Vec<ObjectId>,
    seen: HashSet<ObjectId>,
    /// Threads that may still find more.
    busy: usize,
}

/// Reads every tree below `root` once, until all are read, the cache is full,
/// or `root` cannot be read. What lies below a tree in the cache is taken to be
/// there too: of the next commit only what changed is visited.
pub(super) fn trees(objects: &Objects, cache: &Cache, root: ObjectId) {
    let work = Work::default();
    work.add(std::iter::once(root));
    let threads = thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(THREADS);
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| work.help(objects, cache));
        }
        work.help(objects, cache);
    });
}

impl Work {
    fn help(&self, objects: &Objects, cache: &Cache) {
        while let Some((id, _busy)) = self.take() {
            if !objects.has_listing(id)
                && cache.has_room(ROOM)
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
                state.open.push(id);
                self.changed.notify_one();
            }
        }
    }

    /// The next tree; `None` when there is none and nobody can find another.
    fn take(&self) -> Option<(ObjectId, Busy<'_>)> {
        let mut state = lock(&self.state);
        loop {
            if let Some(id) = state.open.pop() {
                state.busy = state.busy.saturating_add(1);
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

/// A thread that may find more trees, until it is dropped.
struct Busy<'a>(&'a Work);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.busy = state.busy.saturating_sub(1);
        if state.busy == 0 {
            self.0.changed.notify_all();
        }
    }
}
