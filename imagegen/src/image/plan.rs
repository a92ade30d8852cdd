//! Where everything of one image lies. A plan is immutable, and every read is
//! answered from it.
//!
//! Directories are in pre-order. The entries of one directory have consecutive
//! inode numbers, and consecutive data blocks, extent leaves and symlink
//! blocks, so the slot of an entry and the first number of its directory
//! determine all of its numbers. A plan thus takes memory by directory; by file
//! it takes only a [`Listing`](crate::git::Listing) entry and one prefix sum.

use std::{collections::HashMap, sync::Arc};

use crate::{
    ext4::{BlockNr, InodeNr, Layout, Packing},
    image::{
        dirs::{Dir, EntryRef, inode_at, number_of},
        file_time::FileTime,
        folder::Child,
        index::IndexMap,
    },
    numbers::{exact, to_usize},
};

/// Where everything of one image lies.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) layout: Layout,
    /// What the bytes depend on, but for owner, group and time: a line of text.
    pub(super) text: String,
    /// The label of the file system, padded with zeroes.
    pub(super) label: [u8; 16],
    /// The time of the files, unless another one is asked for.
    pub(super) mtime: FileTime,
    pub(super) dirs: Vec<Dir>,
    /// The inode and number of each directory, by inode.
    pub(super) by_inode: Vec<(InodeNr, usize)>,
    /// The first data block and number of each directory with data, by block.
    pub(super) areas: Vec<(u64, usize)>,
    /// The packings of directories with an index, by number.
    pub(super) indexed: HashMap<usize, Packing>,
    /// The content of the small files of `.git`.
    pub(super) small: Vec<Arc<[u8]>>,
    /// See [`Image::converted_bytes`](super::Image::converted_bytes).
    pub(super) converted_bytes: u64,
    /// Sentences for the log, see [`Image::notices`](super::Image::notices).
    pub(super) notices: Vec<String>,
    /// Where everything of the git index lies, if the image has one.
    pub(super) index: Option<IndexMap>,
}

/// Lookups panic if nothing lies where they look: whatever they returned
/// instead would become other bytes of the image.
impl Plan {
    /// The entry itself.
    pub(super) fn child(&self, entry: EntryRef) -> Child<'_> {
        self.dirs[entry.dir].folder.child(entry.slot)
    }

    /// The entry with this inode, which is neither the root nor reserved.
    ///
    /// # Panics
    ///
    /// If no entry has this inode.
    pub(super) fn entry_of(&self, inode: InodeNr) -> EntryRef {
        let dir = last(&self.dirs, |dir| dir.first_child <= inode);
        let slot = to_usize(inode.get() - self.dirs[dir].first_child.get());
        assert!(
            slot < self.dirs[dir].folder.len(),
            "no directory entry has inode {}",
            inode.get()
        );
        EntryRef { dir, slot }
    }

    /// The inode of an entry.
    pub(super) fn inode_of(&self, entry: EntryRef) -> InodeNr {
        inode_at(self.dirs[entry.dir].first_child, entry.slot)
    }

    /// The number of the directory with this inode; `None` if the inode is not
    /// a directory's.
    pub(super) fn dir_of(&self, inode: InodeNr) -> Option<usize> {
        number_of(&self.dirs, &self.by_inode, inode)
    }

    /// The number of directories whose inodes lie in a block group.
    pub(super) fn directories_in(&self, group: u32) -> u32 {
        assert!(
            self.by_inode.len() == self.dirs.len(),
            "every directory is listed by its inode"
        );
        let before = |group| {
            self.by_inode
                .partition_point(|&(inode, _)| inode.group() < group)
        };
        exact(before(group + 1) - before(group))
    }

    /// The file that the n-th data block belongs to, and which of the file's
    /// blocks it is.
    pub(super) fn data_at(&self, block: u64) -> (EntryRef, u64) {
        let area = last(&self.areas, |&(first, _)| first <= block);
        let (first, dir) = self.areas[area];
        assert!(
            self.dirs[dir].first_data == first,
            "the data of directory {dir} does not start at block {first}"
        );
        let (slot, inside) = self.dirs[dir].layout.data_at(block - first);
        (EntryRef { dir, slot }, inside)
    }

    /// The first data block of a file.
    pub(super) fn data_of(&self, entry: EntryRef) -> BlockNr {
        let dir = &self.dirs[entry.dir];
        BlockNr(self.layout.data().start + dir.first_data + dir.layout.data_start(entry.slot))
    }

    /// The first extent leaf of a file.
    pub(super) fn leaves_of(&self, entry: EntryRef) -> BlockNr {
        let dir = &self.dirs[entry.dir];
        let leaf = dir.first_leaf + dir.layout.leaf_start(exact(entry.slot));
        BlockNr(self.layout.extent_leaves().start + leaf)
    }

    /// The file that the n-th extent leaf belongs to, and which of the file's
    /// leaves it is.
    pub(super) fn leaf_at(&self, leaf: u64) -> (EntryRef, u64) {
        let dir = last(&self.dirs, |dir| dir.first_leaf <= leaf);
        let (slot, inside) = self.dirs[dir]
            .layout
            .leaf_at(leaf - self.dirs[dir].first_leaf);
        (
            EntryRef {
                dir,
                slot: to_usize(slot),
            },
            inside,
        )
    }

    /// The block of a slow symlink.
    pub(super) fn symlink_of(&self, entry: EntryRef) -> BlockNr {
        let dir = &self.dirs[entry.dir];
        let symlink = dir.first_symlink + dir.layout.symlink_start(exact(entry.slot));
        BlockNr(self.layout.symlinks().start + symlink)
    }

    /// The n-th symlink that has a block.
    pub(super) fn symlink_at(&self, symlink: u64) -> EntryRef {
        let dir = last(&self.dirs, |dir| dir.first_symlink <= symlink);
        let slot = self.dirs[dir]
            .layout
            .symlink_at(to_usize(symlink - self.dirs[dir].first_symlink));
        EntryRef {
            dir,
            slot: to_usize(slot),
        }
    }

    /// The directory that the n-th directory block belongs to, and which of the
    /// directory's blocks it is.
    pub(super) fn directory_at(&self, block: u64) -> (usize, u64) {
        let dir = last(&self.dirs, |dir| dir.first_block <= block);
        (dir, block - self.dirs[dir].first_block)
    }

    /// The path of a directory, relative to the root.
    fn path_of(&self, mut dir: usize) -> Vec<u8> {
        let mut names = Vec::new();
        while dir != 0 {
            let Dir { parent, slot, .. } = self.dirs[dir];
            names.push(self.dirs[parent].folder.child(slot).name);
            dir = parent;
        }
        names.reverse();
        names.join(&b'/')
    }

    /// The path of the entry `name` of a directory.
    pub(super) fn path_to(&self, dir: usize, name: &[u8]) -> Vec<u8> {
        let mut path = self.path_of(dir);
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        path
    }

    /// The heap memory of the plan in bytes, without the listings, which are
    /// shared.
    pub(super) fn heap_bytes(&self) -> usize {
        let dirs: usize = self
            .dirs
            .iter()
            .map(|dir| size_of::<(InodeNr, usize)>() + dir.bytes())
            .sum();
        let indexed: usize = self.indexed.values().map(Packing::heap_bytes).sum();
        let small: usize = self.small.iter().map(|bytes| bytes.len()).sum();
        let index = self.index.as_ref().map_or(0, IndexMap::heap_bytes);
        dirs + indexed + small + index + self.areas.len() * size_of::<(u64, usize)>()
    }
}

/// The last item for which `is_at_or_before` holds. The items are sorted by
/// what it compares, and the first of them starts at the lowest number.
#[track_caller]
fn last<T>(items: &[T], is_at_or_before: impl Fn(&T) -> bool) -> usize {
    items
        .partition_point(is_at_or_before)
        .checked_sub(1)
        .expect("a number at or after that of the first item")
}
