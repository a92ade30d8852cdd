//! What lies in a block, and which blocks read as zeroes.

use super::{
    layout::Layout,
    numbers::{
        BLOCKS_PER_GROUP, BlockNr, DESCRIPTORS_PER_BLOCK, INODES_PER_BLOCK, InodeNr, low_u32,
    },
};
use std::ops::Range;

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Region {
    /// Block 0.
    Superblock,
    /// 128 group descriptors.
    GroupDescriptors {
        /// The group of the first of them.
        first: u32,
    },
    /// 16 inodes; those beyond the last in use are zeroes.
    InodeTable {
        /// The first of them.
        first: InodeNr,
    },
    /// The n-th of all directory blocks.
    Directory(u64),
    /// The n-th symlink that has a block.
    Symlink(u64),
    /// The n-th of all extent leaves.
    ExtentLeaf(u64),
    /// The n-th block of file data.
    Data(u64),
    /// The block bitmap of a group.
    BlockBitmap(u32),
    /// The inode bitmap of a group.
    InodeBitmap(u32),
    /// The first block of the journal.
    Journal,
    /// Reads as zeroes: free space, and metadata that says nothing.
    Zero,
}

/// Blocks in a row that all read as zeroes, or all do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Whether they read as zeroes.
    pub zero: bool,
    /// The first block behind them.
    pub end: BlockNr,
}

/// Where an area begins, and what its n-th block is.
type Area = (u64, fn(u64) -> Region);

impl Layout {
    /// What a block is; Zero beyond the end of the disk.
    pub fn region(&self, block: BlockNr) -> Region {
        if self.run(block).zero {
            return Region::Zero;
        }
        let areas: [Area; 10] = [
            (self.journal, |_| Region::Journal),
            (self.inode_bitmaps, |n| Region::InodeBitmap(low_u32(n))),
            (self.block_bitmaps, |n| Region::BlockBitmap(low_u32(n))),
            (self.data, Region::Data),
            (self.extent_leaves, Region::ExtentLeaf),
            (self.symlinks, Region::Symlink),
            (self.directories, Region::Directory),
            (self.inode_tables, |n| Region::InodeTable {
                first: first_inode(n),
            }),
            (1, |n| Region::GroupDescriptors {
                first: low_u32(n) * DESCRIPTORS_PER_BLOCK,
            }),
            (0, |_| Region::Superblock),
        ];
        areas
            .into_iter()
            .find(|(start, _)| *start <= block.0)
            .map_or(Region::Zero, |(start, region)| region(block.0 - start))
    }

    /// The run from `block` on. The next one may be of the same kind.
    pub fn run(&self, block: BlockNr) -> Run {
        let written = self.written();
        if let Some(inside) = written.iter().find(|run| run.contains(&block.0)) {
            return Run {
                zero: false,
                end: BlockNr(inside.end),
            };
        }
        let next = written
            .iter()
            .map(|run| run.start)
            .find(|start| *start > block.0);
        Run {
            zero: true,
            end: BlockNr(next.unwrap_or(self.block_count())),
        }
    }

    /// The blocks that are not zeroes. Four areas have a tail of zeroes:
    /// the inode tables in use beyond the last inode, the bitmaps of both
    /// kinds from the first group on that has nothing in use, and the journal
    /// after its first block.
    fn written(&self) -> [Range<u64>; 4] {
        let table_blocks = u64::from(self.last_inode().get().div_ceil(INODES_PER_BLOCK));
        let block_groups = self.free.div_ceil(BLOCKS_PER_GROUP);
        [
            0..self.inode_tables + table_blocks,
            self.directories..self.block_bitmaps + block_groups,
            self.inode_bitmaps..self.inode_bitmaps + u64::from(self.inode_groups()),
            self.journal..self.free.min(self.journal + 1),
        ]
    }
}

/// The first inode in a block of the inode tables in use.
fn first_inode(table_block: u64) -> InodeNr {
    InodeNr::MIN.plus(low_u32(table_block) * INODES_PER_BLOCK)
}
