//! The file `.git/index`: every file of the work tree with its inode.
//!
//! Its bytes are made when they are read. Owner and times of the files are in
//! every entry, and so the names under which one commit is shown have as many
//! indexes; all have the same length, and the entries lie at the same places,
//! which [`IndexMap`] knows:
//!
//! ```text
//! header │ entry entry … entry │ TREE tree tree … tree │ hash of all before
//!          ▲               ▲            ▲
//!          └─ every 128th ─┘            └─ every 64th
//! ```
//!
//! One for a `core.fsmonitor` has `IEOT` before the trees, and after them what
//! [`monitor`] has.

mod cursor;
mod measure;
mod monitor;
mod totals;
mod work_tree;

use std::sync::OnceLock;

use gix::ObjectId;

use self::{
    cursor::Cursor,
    measure::{ENTRY_STEP, Measure, Place},
    monitor::Monitor,
    totals::{Total, totals},
};
pub(super) use self::{monitor::Monitored, work_tree::WorkTree};
use crate::{
    git::dotgit::index::{
        Encoder, Form, Hasher, Sink, Stat, TREES_LENGTH, Window, extension, recorded_size,
    },
    image::{dirs::EntryRef, stamp::Stamp},
    numbers::{exact, to_u64, to_usize},
};

/// Trees between two whose place is known.
const TREE_STEP: usize = 64;

/// Entries in a block that one thread reads: a multiple of [`ENTRY_STEP`].
const BLOCK: u32 = 128 * ENTRY_STEP;

/// Where everything of an index lies.
#[derive(Debug)]
pub(super) struct IndexMap {
    form: Form,
    totals: Vec<Total>,
    /// Of the first entry and of some others, in order.
    entries: Vec<Place>,
    /// The offset of what follows the entries: the extension with their offsets,
    /// or nothing.
    entries_end: u64,
    entry_offsets: Box<[u8]>,
    /// The offset of the tree extension.
    trees: u64,
    /// The offsets of the first tree of every [`TREE_STEP`] directories.
    tree_places: Vec<u64>,
    /// The end of the tree extension.
    trees_end: u64,
    monitor: Option<Monitor>,
    /// The offset of the hash.
    hash: u64,
}

impl IndexMap {
    /// Finds the place of everything in the index of a work tree.
    pub(super) fn new(
        work_tree: WorkTree<'_>,
        form: Form,
        monitored: Option<Monitored<'_>>,
    ) -> Self {
        let totals = totals(work_tree.dirs);
        let Measure { entries, end } = Measure::of(work_tree, &totals, form);
        let entry_offsets = match &monitored {
            Some(_) if !entries.is_empty() => {
                extension::entry_offsets(&blocks(&entries, totals[0].files))
            }
            _ => Vec::new(),
        };
        let trees = end + to_u64(entry_offsets.len());
        let mut next = trees + TREES_LENGTH;
        let mut tree_places = Vec::new();
        for (number, total) in totals.iter().enumerate() {
            if number % TREE_STEP == 0 {
                tree_places.push(next);
            }
            next += work_tree
                .tree(number, *total)
                .map_or(0, |tree| tree.length());
        }
        let monitor = monitored.map(|monitored| {
            let mut before = Vec::new();
            if !entry_offsets.is_empty() {
                before.push(extension::of(&entry_offsets));
            }
            before.push((*b"TREE", exact(next - trees - TREES_LENGTH)));
            let place = monitor::Place {
                start: next,
                entries_end: end,
                before,
            };
            Monitor::new(work_tree, &totals, form.kind, monitored, place)
        });
        Self {
            form,
            totals,
            entries,
            entries_end: end,
            entry_offsets: entry_offsets.into(),
            trees,
            tree_places,
            trees_end: next,
            hash: monitor.as_ref().map_or(next, Monitor::end),
            monitor,
        }
    }

    /// The length of the file in bytes.
    pub(super) fn length(&self) -> u64 {
        self.hash + to_u64(self.form.kind.len_in_bytes())
    }

    /// Its memory in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        let monitor = self.monitor.as_ref().map_or(0, Monitor::heap_bytes);
        size_of_val(&*self.totals)
            + size_of_val(&*self.entries)
            + size_of_val(&*self.entry_offsets)
            + size_of_val(&*self.tree_places)
            + monitor
    }
}

/// The offset and the number of entries of each block.
fn blocks(places: &[Place], files: u32) -> Vec<(u32, u32)> {
    let firsts = places.iter().step_by(to_usize(BLOCK / ENTRY_STEP));
    (0..)
        .step_by(to_usize(BLOCK))
        .zip(firsts)
        .map(|(before, first): (u32, _)| (exact(first.offset), BLOCK.min(files - before)))
        .collect()
}

/// The index of an image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Index<'a> {
    pub(super) map: &'a IndexMap,
    pub(super) work_tree: WorkTree<'a>,
    pub(super) stamp: &'a Stamp,
    pub(super) hash: &'a OnceLock<ObjectId>,
}

impl Index<'_> {
    /// Fills `buffer` from `offset` of the file on; both lie in the file.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) {
        let end = offset + to_u64(buffer.len());
        if offset < self.map.entries_end {
            self.read_entries(offset, buffer);
        }
        if end > self.map.entries_end && offset < self.map.trees {
            Window::new(self.map.entries_end, offset, buffer).put(&self.map.entry_offsets);
        }
        if end > self.map.trees && offset < self.map.trees_end {
            self.read_trees(offset, buffer);
        }
        if let Some(monitor) = &self.map.monitor
            && end > self.map.trees_end
            && offset < self.map.hash
        {
            monitor.read(self.work_tree, self.stamp, offset, buffer);
        }
        if end > self.map.hash {
            let hash = self.hash.get_or_init(|| self.compute_hash());
            Window::new(self.map.hash, offset, buffer).put(hash.as_bytes());
        }
    }

    /// Whether all of this range can be made without a walk over the whole
    /// index, which takes a second for millions of files.
    pub(super) fn is_quick(&self, offset: u64, length: usize) -> bool {
        self.hash.get().is_some() || offset + to_u64(length) <= self.map.hash
    }

    fn read_entries(&self, offset: u64, buffer: &mut [u8]) {
        let form = self.map.form;
        let place = match self
            .map
            .entries
            .partition_point(|place| place.offset <= offset)
        {
            0 => None,
            behind => Some(&self.map.entries[behind - 1]),
        };
        let Some(place) = place else {
            let window = Window::new(0, offset, buffer);
            let encoder = Encoder::new(window, self.map.totals[0].files, form);
            return self.entries(Cursor::first(self.work_tree), encoder);
        };
        let before = place.before.map(|entry| path_to(self.work_tree, entry));
        let window = Window::new(place.offset, offset, buffer);
        let encoder = Encoder::after(window, form, before.unwrap_or_default());
        self.entries(Cursor::at(self.work_tree, place.entry), encoder);
    }

    /// Writes entries until the window is full.
    fn entries(&self, mut cursor: Cursor<'_>, mut encoder: Encoder<Window<'_>>) {
        while !encoder.sink().is_past() && self.entry(&mut cursor, &mut encoder) {}
    }

    /// Writes the next entry; `false` if there is none.
    fn entry<S: Sink>(&self, cursor: &mut Cursor<'_>, encoder: &mut Encoder<S>) -> bool {
        let Some(next) = cursor.next() else {
            return false;
        };
        let Stamp { uid, gid, mtime } = *self.stamp;
        let stat = Stat {
            changed: mtime.changed().parts(),
            modified: mtime.parts(),
            inode: next.inode.get(),
            uid,
            gid,
            size: recorded_size(next.size),
        };
        encoder.entry(cursor.path(), next.mode, next.id, &stat);
        true
    }

    fn read_trees(&self, offset: u64, buffer: &mut [u8]) {
        let places = &self.map.tree_places;
        let behind = places.partition_point(|place| *place <= offset);
        let (first, position) = match behind.checked_sub(1) {
            Some(at) => (at * TREE_STEP, places[at]),
            None => (0, self.map.trees),
        };
        let window = Window::new(position, offset, buffer);
        let mut encoder = Encoder::after(window, self.map.form, Vec::new());
        if behind == 0 {
            encoder.trees(self.trees_length());
        }
        self.trees(first, &mut encoder, Window::is_past);
    }

    /// Writes the trees of all directories from `first` on, as long as the sink
    /// is not full.
    fn trees<S: Sink>(&self, first: usize, encoder: &mut Encoder<S>, is_full: fn(&S) -> bool) {
        for (number, total) in self.map.totals.iter().enumerate().skip(first) {
            if is_full(encoder.sink()) {
                break;
            }
            if let Some(tree) = self.work_tree.tree(number, *total) {
                encoder.tree(&tree);
            }
        }
    }

    fn trees_length(&self) -> u32 {
        exact(self.map.trees_end - self.map.trees - TREES_LENGTH)
    }

    fn compute_hash(&self) -> ObjectId {
        let form = self.map.form;
        let hasher = Hasher::new(form.kind);
        let mut encoder = Encoder::new(hasher, self.map.totals[0].files, form);
        let mut cursor = Cursor::first(self.work_tree);
        while self.entry(&mut cursor, &mut encoder) {}
        encoder.sink_mut().put(&self.map.entry_offsets);
        encoder.trees(self.trees_length());
        self.trees(0, &mut encoder, |_| false);
        let mut hasher = encoder.finish();
        if let Some(monitor) = &self.map.monitor {
            monitor.write(self.work_tree, self.stamp, &mut hasher);
        }
        hasher.finish()
    }
}

/// The path of an entry.
fn path_to(work_tree: WorkTree<'_>, entry: EntryRef) -> Vec<u8> {
    let mut cursor = Cursor::at(work_tree, entry);
    cursor.next().expect("the entry itself comes first");
    cursor.path().to_vec()
}
