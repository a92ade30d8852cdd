//! The work tree, as the index walks it.

use super::totals::Total;
use crate::{
    ext4::InodeNr,
    git::dotgit::index::Tree,
    image::{
        dirs::{Dir, number_of},
        folder::Folder,
    },
};

/// The directories of the work tree, for walks in the order of the index.
#[derive(Clone, Copy, Debug)]
pub(in crate::image) struct WorkTree<'a> {
    pub(in crate::image) dirs: &'a [Dir],
    pub(in crate::image) by_inode: &'a [(InodeNr, usize)],
}

impl WorkTree<'_> {
    /// The number of the directory with this inode.
    pub(super) fn number(&self, inode: InodeNr) -> usize {
        number_of(self.dirs, self.by_inode, inode).expect("every directory is listed by its inode")
    }

    /// The directory as it stands in the index; `None` if it is no tree.
    pub(super) fn tree(&self, number: usize, total: Total) -> Option<Tree<'_>> {
        let dir = &self.dirs[number];
        let Folder::Tree { id, .. } = &dir.folder else {
            return None;
        };
        let name = match dir.inode {
            InodeNr::ROOT => b"",
            _ => self.dirs[dir.parent].folder.child(dir.slot).name,
        };
        Some(Tree {
            name,
            entries: (!total.is_invalid).then_some(total.files),
            subtrees: total.subtrees,
            id,
        })
    }
}
