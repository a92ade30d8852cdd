//! Counts in, geometry out: where everything lies on the disk.

use super::numbers::{BLOCKS_PER_GROUP, DESCRIPTORS_PER_BLOCK, INODES_PER_GROUP, InodeNr, low_u32};
use std::ops::Range;

/// Blocks of one group's inode table.
const TABLE_BLOCKS: u64 = 512;

/// Without the `64bit` feature block numbers have 32 bits, and `s_blocks_count`
/// must fit in them too.
const MAX_GROUPS: u64 = (1 << 32) / BLOCKS_PER_GROUP - 1;

/// What a file system has to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// The highest inode in use. All below it are in use too, and so are the
    /// reserved ones up to 10, even if this is lower.
    pub last_inode: InodeNr,
    /// Blocks of all directories.
    pub directory_blocks: u64,
    /// Symlinks of 60 bytes and more, one block each.
    pub symlink_blocks: u64,
    /// Extent leaves of all files, see [`extent::leaf_count`](super::extent::leaf_count).
    pub extent_leaves: u64,
    /// Blocks of all files' contents.
    pub data_blocks: u64,
    /// Blocks that must be free at least.
    pub free_blocks: u64,
    /// Inodes that must be free at least.
    pub free_inodes: u32,
    /// Blocks of the journal: none, or 1024 to
    /// [`journal::MAX_BLOCKS`](super::journal::MAX_BLOCKS).
    pub journal_blocks: u64,
    /// Whether any directory is indexed, or may become so when written to.
    pub dir_index: bool,
}

/// Where everything lies.
///
/// ```text
/// superblock | group descriptors | inode tables in use | directories | symlinks
///   | extent leaves | file data | block bitmaps | inode bitmaps | other inode tables
///   | journal | free
/// ```
///
/// `flex_bg` lets bitmaps and tables lie anywhere. What a read-only client
/// reads to walk the tree comes first, what it never reads comes last. What is
/// in use is one run of blocks and one run of inodes, so every count and every
/// bitmap follows from its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    last_inode: InodeNr,
    dir_index: bool,
    group_count: u32,
    /// The first block of each area, in their order on disk.
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
    /// The smallest file system that holds what is demanded; None above
    /// 16 TiB, or above the number of inodes that fit there.
    pub fn new(demand: &Demand) -> Option<Self> {
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
            group_count: low_u32(groups),
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

    /// `s_blocks_count`: the size of the disk.
    pub fn block_count(&self) -> u64 {
        u64::from(self.group_count) * BLOCKS_PER_GROUP
    }

    /// Block groups, all of them whole.
    pub const fn group_count(&self) -> u32 {
        self.group_count
    }

    /// The highest inode in use.
    pub const fn last_inode(&self) -> InodeNr {
        self.last_inode
    }

    /// Whether the `dir_index` feature is on.
    pub const fn dir_index(&self) -> bool {
        self.dir_index
    }

    /// Blocks before the first one of file data: all that a client reads to
    /// walk the tree.
    pub const fn prefix_blocks(&self) -> u64 {
        self.data
    }

    /// The blocks of all directories.
    pub const fn directories(&self) -> Range<u64> {
        self.directories..self.symlinks
    }

    /// The blocks of symlinks.
    pub const fn symlinks(&self) -> Range<u64> {
        self.symlinks..self.extent_leaves
    }

    /// The extent leaves.
    pub const fn extent_leaves(&self) -> Range<u64> {
        self.extent_leaves..self.data
    }

    /// The blocks of file data.
    pub const fn data(&self) -> Range<u64> {
        self.data..self.block_bitmaps
    }

    /// The blocks of the journal; none when there is none.
    pub const fn journal(&self) -> Range<u64> {
        self.journal..self.free
    }

    /// Blocks in use are `0..used_blocks`; all others are free.
    pub const fn used_blocks(&self) -> u64 {
        self.free
    }

    /// Groups that have inodes in use: the first ones.
    pub const fn inode_groups(&self) -> u32 {
        self.last_inode.group() + 1
    }
}

/// What the superblock and the group descriptors say.
impl Layout {
    /// `s_inodes_count`
    pub(super) const fn inode_count(&self) -> u32 {
        self.group_count * INODES_PER_GROUP
    }

    /// `s_overhead_clusters`: blocks that no file can ever have.
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

    /// How many blocks of a group are in use: its first ones.
    pub(super) fn used_blocks_of(&self, group: u32) -> u32 {
        let before = u64::from(group) * BLOCKS_PER_GROUP;
        low_u32(self.free.saturating_sub(before).min(BLOCKS_PER_GROUP))
    }

    /// How many inodes of a group are in use: its first ones.
    pub(super) fn used_inodes_of(&self, group: u32) -> u32 {
        let before = group.saturating_mul(INODES_PER_GROUP);
        self.last_inode
            .get()
            .saturating_sub(before)
            .min(INODES_PER_GROUP)
    }
}

/// The least number of groups that is enough. Each group also brings tables
/// and bitmaps that must find room, about one block in 64, so that this takes
/// few turns.
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

/// Blocks that so many groups take whatever they hold.
fn fixed_blocks(groups: u64) -> u64 {
    1 + descriptor_blocks(groups) + groups * (2 + TABLE_BLOCKS)
}

fn descriptor_blocks(groups: u64) -> u64 {
    groups.div_ceil(u64::from(DESCRIPTORS_PER_BLOCK))
}
