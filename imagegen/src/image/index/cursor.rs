//! A walk over the entries of an index, from any of them on.

use gix::oid;

use super::work_tree::WorkTree;
use crate::{
    ext4::InodeNr,
    git::EntryMode,
    image::{
        dirs::{EntryRef, inode_at},
        folder::Content,
    },
};

/// The next entry of the index: depth first, those of a directory where its
/// name sorts.
pub(super) struct Cursor<'a> {
    work_tree: WorkTree<'a>,
    path: Vec<u8>,
    /// The directory that is walked, and those that it is in.
    open: Vec<Open>,
}

/// A directory being walked: the next slot, and the length of its path.
struct Open {
    dir: usize,
    slot: usize,
    path: usize,
}

/// An entry of the index, but for its path.
pub(super) struct Next<'a> {
    pub(super) mode: EntryMode,
    pub(super) id: &'a oid,
    pub(super) inode: InodeNr,
    pub(super) size: u64,
}

impl<'a> Cursor<'a> {
    /// Before the first entry.
    pub(super) fn first(work_tree: WorkTree<'a>) -> Self {
        Self::at(work_tree, EntryRef { dir: 0, slot: 0 })
    }

    /// Before an entry.
    pub(super) fn at(work_tree: WorkTree<'a>, entry: EntryRef) -> Self {
        let mut parents = vec![(entry.dir, entry.slot)];
        let mut dir = entry.dir;
        while dir != 0 {
            let (parent, slot) = (work_tree.dirs[dir].parent, work_tree.dirs[dir].slot);
            parents.push((parent, slot + 1));
            dir = parent;
        }
        let (mut path, mut open) = (Vec::new(), Vec::new());
        for (dir, slot) in parents.into_iter().rev() {
            if dir != 0 {
                let above = &work_tree.dirs[dir];
                path.extend_from_slice(work_tree.dirs[above.parent].folder.child(above.slot).name);
                path.push(b'/');
            }
            open.push(Open {
                dir,
                slot,
                path: path.len(),
            });
        }
        Self {
            work_tree,
            path,
            open,
        }
    }

    /// The path of the entry that was returned last.
    pub(super) fn path(&self) -> &[u8] {
        &self.path
    }

    /// The next entry; `None` at the end.
    pub(super) fn next(&mut self) -> Option<Next<'a>> {
        let work_tree = self.work_tree;
        loop {
            let top = self.open.last_mut()?;
            let dir = &work_tree.dirs[top.dir];
            self.path.truncate(top.path);
            if top.slot == dir.folder.len() {
                self.open.pop();
                continue;
            }
            let child = dir.folder.child(top.slot);
            let inode = inode_at(dir.first_child, top.slot);
            top.slot += 1;
            self.path.extend_from_slice(child.name);
            if let Content::Tree { .. } = child.content {
                self.path.push(b'/');
                self.open.push(Open {
                    dir: work_tree.number(inode),
                    slot: 0,
                    path: self.path.len(),
                });
            } else if let Some((mode, id)) = child.index_entry() {
                let size = child.size;
                return Some(Next {
                    mode,
                    id,
                    inode,
                    size,
                });
            }
        }
    }
}
