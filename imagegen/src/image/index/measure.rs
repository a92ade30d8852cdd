//! The places of the entries in an index, computed without making any.

use super::{totals::Total, work_tree::WorkTree};
use crate::{
    git::dotgit::index::{Form, HEADER_LENGTH, common_prefix},
    image::{
        dirs::{EntryRef, inode_at},
        folder::Content,
    },
};

/// The place of an entry in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) entry: EntryRef,
    /// The entry before it; `None` for the first.
    pub(super) before: Option<EntryRef>,
}

/// Entries between two whose place is known.
pub(super) const ENTRY_STEP: u32 = 128;

/// The places of the first entry and of every [`ENTRY_STEP`]th after it, and
/// the end of all entries.
pub(super) struct Measure {
    pub(super) entries: Vec<Place>,
    pub(super) end: u64,
}

/// A directory being measured: the next slot, the length of an entry's path up
/// to its name, and the last slot that has entries in the index.
#[derive(Default)]
struct Open {
    dir: usize,
    slot: usize,
    path: usize,
    last: Option<usize>,
}

impl Measure {
    /// It is enough to compare names: the common part of two consecutive paths
    /// ends in the directory that holds both.
    pub(super) fn of(work_tree: WorkTree<'_>, totals: &[Total], form: Form) -> Self {
        let mut measure = Self {
            entries: Vec::new(),
            end: HEADER_LENGTH,
        };
        let (mut count, mut length_before, mut shared) = (0_u32, 0, 0);
        let mut before = None;
        let mut open = vec![Open::default()];
        while let Some(top) = open.last_mut() {
            let dir = &work_tree.dirs[top.dir];
            let (slot, path) = (top.slot, top.path);
            if slot == dir.folder.len() {
                open.pop();
                continue;
            }
            top.slot += 1;
            let child = dir.folder.child(slot);
            if let Some(last) = top.last {
                shared = path + common_prefix(dir.folder.child(last).name, child.name);
            }
            let length = path + child.name.len();
            let entry = EntryRef { dir: top.dir, slot };
            if let Content::Tree { .. } = child.content {
                let number = work_tree.number(inode_at(dir.first_child, slot));
                if totals[number].files > 0 {
                    top.last = Some(slot);
                    open.push(Open {
                        dir: number,
                        path: length + 1,
                        ..Open::default()
                    });
                }
            } else if child.index_entry().is_some() {
                if count % ENTRY_STEP == 0 {
                    let offset = measure.end;
                    measure.entries.push(Place {
                        offset,
                        entry,
                        before,
                    });
                }
                measure.end += form.entry_length(length_before, shared, length);
                (count, length_before) = (count + 1, length);
                (before, top.last) = (Some(entry), Some(slot));
            }
        }
        measure
    }
}
