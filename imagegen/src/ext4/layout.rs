//! The geometry of a file system, computed from what it has to hold.

use super::numbers::{BLOCKS_PER_GROUP, DESCRIPTORS_PER_BLOCK, INODES_PER_GROUP, InodeNr};
use crate::numbers::exact;
use std::ops::Range;

/// Blocks of one group's inode table.
const TABLE_BLOCKS: u64 = 512;

/// The most block groups: without `64bit`, `s_blocks_count` has 32 bits.
pub(super) const MAX_GROUPS: u64 = (1 << 32) / BLOCKS_PER_GROUP - 1;

/// What a file system has to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Demand {
    /// The highest inode in use. All inodes below it are in use too, and the
    /// reserved ones up to 10 always are.
    pub(crate) last_inode: InodeNr,
    /// The blocks of all directories.
    pub(crate) directory_blocks: u64,
    /// The symlinks of 60 bytes and more, which take one block each.
    pub(crate) symlink_blocks: u64,
    /// The extent leaves of all files (see
    /// [`extent::leaf_count`](super::extent::leaf_count)).
    pub(crate) extent_leaves: u64,
    /// The blocks of the content of all files.
    pub(crate) data_blocks: u64,
    /// The least number of free blocks.
    pub(crate) free_blocks: u64,
    /// The least number of free inodes.
    pub(crate) free_inodes: u32,
    /// The blocks of the journal: 0 for none, else 1024, the minimum of jbd2, to
    /// 32768, which are one extent.
    pub(crate) journal_blocks: u64,
    /// Whether a directory has an index, or may get one when it is written to.
    pub(crate) dir_index: bool,
}

/// Where the areas of a file system lie:
///
/// ```text
/// superblock | group descriptors | inode tables in use | directories | symlinks
///   | extent leaves | file data | block bitmaps | inode bitmaps | other inode tables
///   | journal | free
/// ```
///
/// `flex_bg` lets bitmaps and inode tables lie anywhere. What a read-only client
/// reads to walk the tree comes first, what it never reads comes last. The
/// blocks in use are one run from block 0 on, and the inodes in use one from
/// inode 1 on, so their ends determine every count and every bitmap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    last_inode: InodeNr,
    dir_index: bool,
    group_count: u32,
    // The first block of each area, in the order on disk.
    pub(super) inode_tables: u64,
    pub(super) directories: u64,
    pub(super) symlinks: u64,
    pub(super) extent_leaves: u64,
    pub(super) data: u64,
    pub(super) block_bitmaps: u64,
    pub(super) inode_bitmaps: u64,
    spare_tables: u64,
    pub(super) journal: u64,
    pub(super) free: u64,
}

impl Layout {
    /// The smallest file system that holds `demand`; `None` if it would be
    /// larger than 16 TiB or need more inodes than 16 TiB have.
    pub(crate) fn new(demand: &Demand) -> Option<Self> {
        let groups = groups_for(demand)?;
        let last_inode = demand.last_inode.max(InodeNr::LAST_RESERVED);
        let used_tables = u64::from(last_inode.group()) + 1;
        let inode_tables = 1 + descriptor_blocks(groups);
        let directories = inode_tables + used_tables * TABLE_BLOCKS;
        let symlinks = directories + demand.directory_blocks;
        let extent_leaves = symlinks + demand.symlink_blocks;
        let data = extent_leaves + demand.extent_leaves;
        let block_bitmaps = data + demand.data_blocks;
        let inode_bitmaps = block_bitmaps + groups;
        let spare_tables = inode_bitmaps + groups;
        let journal = spare_tables + (groups - used_tables) * TABLE_BLOCKS;
        Some(Self {
            last_inode,
            dir_index: demand.dir_index,
            group_count: exact(groups),
            inode_tables,
            directories,
            symlinks,
            extent_leaves,
            data,
            block_bitmaps,
            inode_bitmaps,
            spare_tables,
            journal,
            free: journal + demand.journal_blocks,
        })
    }

    /// `s_blocks_count`: the size of the disk in blocks.
    pub(crate) fn block_count(&self) -> u64 {
        u64::from(self.group_count) * BLOCKS_PER_GROUP
    }

    /// The number of block groups; the last one is as long as the others.
    pub(crate) const fn group_count(&self) -> u32 {
        self.group_count
    }

    /// The highest inode in use.
    pub(crate) const fn last_inode(&self) -> InodeNr {
        self.last_inode
    }

    /// Whether the `dir_index` feature is on.
    pub(crate) const fn dir_index(&self) -> bool {
        self.dir_index
    }

    /// The number of blocks before file data: all that a client reads to walk
    /// the tree.
    pub(crate) const fn prefix_blocks(&self) -> u64 {
        self.data
    }

    /// The blocks of all directories.
    pub(crate) const fn directories(&self) -> Range<u64> {
        self.directories..self.symlinks
    }

    /// The blocks of symlinks of 60 bytes and more.
    pub(crate) const fn symlinks(&self) -> Range<u64> {
        self.symlinks..self.extent_leaves
    }

    /// The blocks of extent leaves.
    pub(crate) const fn extent_leaves(&self) -> Range<u64> {
        self.extent_leaves..self.data
    }

    /// The blocks of file data.
    pub(crate) const fn data(&self) -> Range<u64> {
        self.data..self.block_bitmaps
    }

    /// The blocks of the journal; empty without a journal.
    pub(crate) const fn journal(&self) -> Range<u64> {
        self.journal..self.free
    }

    /// The number of blocks in use, which are the first ones of the disk.
    pub(crate) const fn used_blocks(&self) -> u64 {
        self.free
    }

    /// The number of groups with inodes in use, which are the first ones.
    pub(crate) const fn inode_groups(&self) -> u32 {
        self.last_inode.group() + 1
    }
}

/// The fields of the superblock and of the group descriptors.
impl Layout {
    /// `s_inodes_count`
    pub(super) const fn inode_count(&self) -> u32 {
        self.group_count * INODES_PER_GROUP
    }

    /// `s_overhead_clusters`: blocks that are never available to files.
    pub(super) fn overhead(&self) -> u64 {
        fixed_blocks(u64::from(self.group_count)) + self.free - self.journal
    }

    /// `bg_block_bitmap`
    pub(super) fn block_bitmap(&self, group: u32) -> u64 {
        self.block_bitmaps + u64::from(group)
    }

    /// `bg_inode_bitmap`
    pub(super) fn inode_bitmap(&self, group: u32) -> u64 {
        self.inode_bitmaps + u64::from(group)
    }

    /// `bg_inode_table`
    pub(super) fn inode_table(&self, group: u32) -> u64 {
        match group.checked_sub(self.inode_groups()) {
            None => self.inode_tables + u64::from(group) * TABLE_BLOCKS,
            Some(spare) => self.spare_tables + u64::from(spare) * TABLE_BLOCKS,
        }
    }

    /// The number of blocks of a group in use, which are its first ones: 0 in
    /// groups after the last block in use, all in those before.
    pub(super) fn used_blocks_of(&self, group: u32) -> u32 {
        let before = u64::from(group) * BLOCKS_PER_GROUP;
        exact(self.free.saturating_sub(before).min(BLOCKS_PER_GROUP))
    }

    /// The number of inodes of a group in use, like
    /// [`Layout::used_blocks_of`].
    pub(super) fn used_inodes_of(&self, group: u32) -> u32 {
        let before = group * INODES_PER_GROUP;
        self.last_inode
            .get()
            .saturating_sub(before)
            .min(INODES_PER_GROUP)
    }
}

/// The least number of groups that hold `demand`. Each group adds its own
/// inode table and bitmaps, about one block in 64, so this takes few rounds.
fn groups_for(demand: &Demand) -> Option<u64> {
    let last_inode = demand.last_inode.max(InodeNr::LAST_RESERVED);
    let inodes = u64::from(last_inode.get()) + u64::from(demand.free_inodes);
    let blocks = [
        demand.directory_blocks,
        demand.symlink_blocks,
        demand.extent_leaves,
        demand.data_blocks,
        demand.free_blocks,
        demand.journal_blocks,
    ];
    let blocks = blocks.into_iter().try_fold(0, u64::checked_add)?;
    let mut groups = inodes.div_ceil(u64::from(INODES_PER_GROUP));
    while groups <= MAX_GROUPS {
        let needed = blocks
            .checked_add(fixed_blocks(groups))?
            .div_ceil(BLOCKS_PER_GROUP);
        if needed <= groups {
            return Some(groups);
        }
        groups = needed;
    }
    None
}

/// The blocks that `groups` groups take whatever they hold.
fn fixed_blocks(groups: u64) -> u64 {
    1 + descriptor_blocks(groups) + groups * (2 + TABLE_BLOCKS)
}

fn descriptor_blocks(groups: u64) -> u64 {
    groups.div_ceil(u64::from(DESCRIPTORS_PER_BLOCK))
}
