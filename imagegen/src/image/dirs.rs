//! The directories of an image, and how they refer to each other.

use gix::bstr::{BString, ByteSlice};

use crate::{
    ext4::InodeNr,
    image::{dir_layout::DirLayout, folder::Folder, path},
    numbers::exact,
};

/// A directory of the image.
#[derive(Debug)]
pub(super) struct Dir {
    pub(super) folder: Folder,
    pub(super) layout: DirLayout,
    pub(super) inode: InodeNr,
    /// The number of its parent; the root is its own parent.
    pub(super) parent: usize,
    /// Its slot in the parent.
    pub(super) slot: usize,
    /// The inode of the entry at slot 0; for an empty directory, the one that
    /// an entry would have.
    pub(super) first_child: InodeNr,
    /// Its first block, counted from the first directory block of the disk.
    pub(super) first_block: u64,
    pub(super) blocks: u64,
    /// Its first symlink block, counted from the first one of the disk.
    pub(super) first_symlink: u64,
    /// Its first extent leaf, counted from the first one of the disk.
    pub(super) first_leaf: u64,
    /// Its first data block, counted from the first one of the disk.
    pub(super) first_data: u64,
}

impl Dir {
    /// Its memory in bytes, without the listing, which is shared.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.layout.heap_bytes() + self.folder.own_bytes()
    }
}

/// An entry of a directory: the number of the directory, and the slot in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryRef {
    pub(super) dir: usize,
    pub(super) slot: usize,
}

/// The inode of the entry at `slot`, given that of slot 0.
pub(super) fn inode_at(first: InodeNr, slot: usize) -> InodeNr {
    first.plus(exact(slot))
}

/// The number of the directory with this inode, by the list of [`by_inode`].
pub(super) fn number_of(
    dirs: &[Dir],
    by_inode: &[(InodeNr, usize)],
    inode: InodeNr,
) -> Option<usize> {
    let found = by_inode.binary_search_by_key(&inode, |&(inode, _)| inode);
    let (_, dir) = by_inode[found.ok()?];
    assert!(
        dirs[dir].inode == inode,
        "directory {dir} has another inode than {}",
        inode.get()
    );
    Some(dir)
}

/// The inode and number of each directory, by inode.
pub(super) fn by_inode(dirs: &[Dir]) -> Vec<(InodeNr, usize)> {
    let mut sorted: Vec<_> = dirs.iter().map(|dir| dir.inode).zip(0..).collect();
    sorted.sort_unstable();
    sorted
}

/// The path of a directory.
pub(super) fn path_of_directory(dirs: &[Dir], mut number: usize) -> BString {
    let mut path = BString::default();
    while number != 0 {
        let Dir { parent, slot, .. } = dirs[number];
        let name = dirs[parent].folder.child(slot).name;
        path = if path.is_empty() {
            name.into()
        } else {
            path::join(name.as_bstr(), &path)
        };
        number = parent;
    }
    path
}

/// The data blocks of all directories.
pub(super) fn data_blocks(dirs: &[Dir]) -> u64 {
    dirs.iter().map(|dir| dir.layout.data_blocks()).sum()
}
