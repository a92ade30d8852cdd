//! Where everything of one image lies: an immutable answer to every later
//! read.
//!
//! Directories stand in pre-order. All children of one directory have inode
//! numbers in a row, and so have their data blocks, extent leaves and
//! symlink blocks; what a child's number is follows from its slot and the
//! directory's first number. So a plan costs memory by directory, and by file
//! only what its [`Listing`](crate::git::Listing) and one prefix sum take.

use std::{collections::HashMap, sync::Arc};

use crate::{
    ext4::{BlockNr, Identity, InodeNr, Layout, Packing},
    image::{
        folder::{Child, Content, Folder, MadeKind},
        numbers::narrow,
        shape::Shape,
    },
};

/// A directory of the image.
#[derive(Debug)]
pub(super) struct Dir {
    pub(super) folder: Folder,
    pub(super) shape: Shape,
    pub(super) inode: InodeNr,
    /// The parent's number; the root is its own.
    pub(super) parent: usize,
    /// Its place in the parent.
    pub(super) slot: usize,
    /// The inode of the child at slot 0.
    pub(super) first_child: u32,
    /// Its blocks, counted from the first of all directory blocks.
    pub(super) first_block: u64,
    pub(super) blocks: u64,
    /// Counted from the first symlink, leaf and data block of the disk.
    pub(super) first_symlink: u64,
    pub(super) first_leaf: u64,
    pub(super) first_data: u64,
}

/// A child of a directory: the directory's number, and the slot there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) dir: usize,
    pub(super) slot: usize,
}

/// Everything but bytes.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) layout: Layout,
    pub(super) identity: Identity,
    pub(super) dirs: Vec<Dir>,
    /// Inode and number of each directory, by inode.
    pub(super) by_inode: Vec<(InodeNr, usize)>,
    /// First data block and number of each directory with data, by block.
    pub(super) areas: Vec<(u64, usize)>,
    /// Packings of directories that are indexed, by number.
    pub(super) indexed: HashMap<usize, Packing>,
    /// The small files of `.git`.
    pub(super) small: Vec<Arc<[u8]>>,
    /// The time of every file, in seconds since 1970.
    pub(super) seconds: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// The index is younger than what it lists by this many seconds, so that git
/// need not compare contents (git, `Documentation/technical/racy-git.txt`).
pub(super) const INDEX_IS_YOUNGER: u32 = 10;

impl Plan {
    /// The child at a place.
    pub(super) fn child(&self, place: Place) -> Child<'_> {
        self.dirs[place.dir].folder.child(place.slot)
    }

    /// The child with this inode, which is none of root, reserved or unused.
    pub(super) fn place_of(&self, inode: InodeNr) -> Place {
        let number = inode.get();
        let dir = self.dirs.partition_point(|dir| dir.first_child <= number) - 1;
        Place {
            dir,
            slot: narrow(number - self.dirs[dir].first_child),
        }
    }

    /// The inode of the child at a place.
    pub(super) fn inode_of(&self, place: Place) -> InodeNr {
        inode_at(self.dirs[place.dir].first_child, place.slot)
    }

    /// The directory with this inode.
    pub(super) fn dir_of(&self, inode: InodeNr) -> Option<usize> {
        let at = self
            .by_inode
            .binary_search_by_key(&inode, |&(inode, _)| inode)
            .ok()?;
        Some(self.by_inode[at].1)
    }

    /// Directories whose inodes lie in the block group.
    pub(super) fn directories_in(&self, group: u32) -> u32 {
        let before = |group| {
            self.by_inode
                .partition_point(|&(inode, _)| inode.group() < group)
        };
        u32::try_from(before(group.saturating_add(1)) - before(group)).unwrap_or(u32::MAX)
    }

    /// The file that the n-th block of data belongs to, and the block in it.
    pub(super) fn data_at(&self, block: u64) -> (Place, u64) {
        let area = self.areas.partition_point(|&(first, _)| first <= block) - 1;
        let (first, dir) = self.areas[area];
        let (slot, inside) = self.dirs[dir].shape.data_at(block - first);
        (Place { dir, slot }, inside)
    }

    /// The first block of a file's data.
    pub(super) fn data_of(&self, place: Place) -> BlockNr {
        let dir = &self.dirs[place.dir];
        BlockNr(self.layout.data().start + dir.first_data + dir.shape.data_start(place.slot))
    }

    /// The first extent leaf of a file.
    pub(super) fn leaves_of(&self, place: Place) -> BlockNr {
        let dir = &self.dirs[place.dir];
        let leaf = dir.first_leaf + dir.shape.leaf_start(slot_number(place.slot));
        BlockNr(self.layout.extent_leaves().start + leaf)
    }

    /// The file of the n-th extent leaf, and which of its leaves that is.
    pub(super) fn leaf_at(&self, leaf: u64) -> (Place, u64) {
        let dir = self.dirs.partition_point(|dir| dir.first_leaf <= leaf) - 1;
        let (slot, inside) = self.dirs[dir]
            .shape
            .leaf_at(leaf - self.dirs[dir].first_leaf);
        (
            Place {
                dir,
                slot: narrow(slot),
            },
            inside,
        )
    }

    /// The block of a slow symlink.
    pub(super) fn symlink_of(&self, place: Place) -> BlockNr {
        let dir = &self.dirs[place.dir];
        let symlink = dir.first_symlink + dir.shape.symlink_start(slot_number(place.slot));
        BlockNr(self.layout.symlinks().start + symlink)
    }

    /// The n-th slow symlink.
    pub(super) fn symlink_at(&self, symlink: u64) -> Place {
        let dir = self
            .dirs
            .partition_point(|dir| dir.first_symlink <= symlink)
            - 1;
        let slot = self.dirs[dir]
            .shape
            .symlink_at(narrow(symlink - self.dirs[dir].first_symlink));
        Place {
            dir,
            slot: narrow(slot),
        }
    }

    /// The directory of the n-th directory block, and the block in it.
    pub(super) fn directory_at(&self, block: u64) -> (usize, u64) {
        let dir = self.dirs.partition_point(|dir| dir.first_block <= block) - 1;
        (dir, block - self.dirs[dir].first_block)
    }

    /// The time of a child.
    pub(super) fn seconds_of(&self, child: &Child<'_>) -> i64 {
        match child.content {
            Content::Made(MadeKind::Index) => i64::from(self.seconds + INDEX_IS_YOUNGER),
            _ => i64::from(self.seconds),
        }
    }

    /// The path of a directory, without a slash at either end.
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

    /// Bytes of memory that this plan takes besides the listings it shares.
    pub(super) fn heap_bytes(&self) -> usize {
        let dirs: usize = self
            .dirs
            .iter()
            .map(|dir| size_of::<Dir>() + size_of::<(InodeNr, usize)>() + dir.shape.heap_bytes())
            .sum();
        let indexed: usize = self.indexed.values().map(Packing::heap_bytes).sum();
        let small: usize = self.small.iter().map(|bytes| bytes.len()).sum();
        dirs + indexed + small + self.areas.len() * size_of::<(u64, usize)>()
    }
}

/// The inode at a slot, given the inode at slot 0. The walk has counted them
/// all, so the number is never 0 and never too large.
pub(super) fn inode_at(first: u32, slot: usize) -> InodeNr {
    InodeNr::new(first.saturating_add(slot_number(slot))).unwrap_or(InodeNr::FIRST)
}

fn slot_number(slot: usize) -> u32 {
    u32::try_from(slot).unwrap_or(u32::MAX)
}

/// Sorted by the value that a lookup by block or inode compares.
pub(super) fn by_inode(dirs: &[Dir]) -> Vec<(InodeNr, usize)> {
    let mut sorted: Vec<_> = dirs.iter().map(|dir| dir.inode).zip(0..).collect();
    sorted.sort_unstable();
    sorted
}

/// Sums of what the directories need, for the layout.
pub(super) fn data_blocks(dirs: &[Dir]) -> u64 {
    dirs.iter()
        .map(|dir| dir.shape.data_blocks())
        .fold(0, u64::saturating_add)
}
