//! The size of a tree with everything below it, without walking it.
//!
//! Trees may refer to one another so that a few kilobytes of objects have more
//! files than a disk can hold. Here each tree is read once, however often it
//! occurs.

use std::{collections::HashMap, vec};

use gix::ObjectId;

use crate::{
    git::{EntryMode, Objects},
    numbers::to_u64,
};

/// The number of entries and directories of a tree, itself included.
///
/// Counts saturate: a tree of 2^64 entries and more is too large in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TreeCounts {
    /// The entries of all of its directories.
    pub(super) entries: u64,
    pub(super) directories: u64,
}

impl TreeCounts {
    /// Counts `root` and everything below it. A tree that cannot be read counts
    /// as empty: the walk reports it, with its path.
    pub(super) fn of(objects: &Objects, root: ObjectId) -> Self {
        let mut known = HashMap::new();
        let mut parents = Vec::new();
        let mut top = Pending::read(objects, root);
        loop {
            if let Some(id) = top.subtrees.next() {
                if let Some(counts) = known.get(&id) {
                    top.counts.add(*counts);
                } else {
                    parents.push(top);
                    top = Pending::read(objects, id);
                }
                continue;
            }
            let Some(mut parent) = parents.pop() else {
                return top.counts;
            };
            parent.counts.add(top.counts);
            known.insert(top.id, top.counts);
            top = parent;
        }
    }

    fn add(&mut self, other: Self) {
        self.entries = self.entries.saturating_add(other.entries);
        self.directories = self.directories.saturating_add(other.directories);
    }
}

/// A tree whose subtrees are not all counted yet.
struct Pending {
    id: ObjectId,
    /// The subtrees that remain to be counted.
    subtrees: vec::IntoIter<ObjectId>,
    counts: TreeCounts,
}

impl Pending {
    fn read(objects: &Objects, id: ObjectId) -> Self {
        let listing = objects.tree(id).ok();
        let entries = listing.iter().flat_map(|listing| listing.iter());
        let trees = entries.filter(|entry| entry.mode == EntryMode::Directory);
        let subtrees = trees
            .map(|entry| entry.id.to_owned())
            .collect::<Vec<_>>()
            .into_iter();
        let entries = listing.map_or(0, |listing| to_u64(listing.len()));
        Self {
            id,
            subtrees,
            counts: TreeCounts {
                entries,
                directories: 1,
            },
        }
    }
}
