//! How much a tree stands for, counted without walking it.
//!
//! Trees may refer to one another so that a few kilobytes stand for more files
//! than any disk holds. Here every tree is read once, however often it shows.

use std::{collections::HashMap, vec};

use gix::ObjectId;

use crate::{
    git::{EntryMode, Objects},
    image::numbers::wide,
};

/// What a tree stands for, itself included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    /// Entries of all its directories.
    pub(super) entries: u64,
    pub(super) directories: u64,
}

impl Census {
    /// Counts what lies below `root`. A tree that cannot be read counts as an
    /// empty one: the walk will say what is wrong with it, and where.
    pub(super) fn take(objects: &Objects, root: ObjectId) -> Self {
        let mut known = HashMap::new();
        let mut open = Vec::new();
        let mut top = Open::read(objects, root);
        loop {
            if let Some(id) = top.below.next() {
                if let Some(count) = known.get(&id) {
                    top.count.add(*count);
                } else {
                    open.push(top);
                    top = Open::read(objects, id);
                }
                continue;
            }
            let Some(mut parent) = open.pop() else {
                return top.count;
            };
            parent.count.add(top.count);
            known.insert(top.id, top.count);
            top = parent;
        }
    }

    fn add(&mut self, other: Self) {
        self.entries = self.entries.saturating_add(other.entries);
        self.directories = self.directories.saturating_add(other.directories);
    }
}

/// A tree being counted.
struct Open {
    id: ObjectId,
    /// Trees in it that are not yet counted.
    below: vec::IntoIter<ObjectId>,
    count: Census,
}

impl Open {
    fn read(objects: &Objects, id: ObjectId) -> Self {
        let listing = objects.tree(id).ok();
        let entries = listing.iter().flat_map(|listing| listing.iter());
        let trees = entries.filter(|entry| entry.mode == EntryMode::Directory);
        let below = trees
            .map(|entry| entry.id.to_owned())
            .collect::<Vec<_>>()
            .into_iter();
        let entries = listing.as_ref().map_or(0, |listing| wide(listing.len()));
        Self {
            id,
            below,
            count: Census {
                entries,
                directories: 1,
            },
        }
    }
}
