//! The content of each block, and the blocks that read as zeroes.

use super::{
    layout::Layout,
    numbers::{BLOCKS_PER_GROUP, BlockNr, DESCRIPTORS_PER_BLOCK, INODES_PER_BLOCK, InodeNr},
};
use crate::numbers::exact;
use std::ops::Range;

/// The content of a block. Numbers within an area count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Region {
    /// Block 0.
    Superblock,
    /// 128 group descriptors.
    GroupDescriptors {
        /// The group of the first descriptor.
        first: u32,
    },
    /// 16 inodes; those after the last inode in use are zeroes.
    InodeTable {
        /// The first inode.
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
    /// Zeroes: free space, and metadata of nothing in use.
    Zero,
}

/// Contiguous blocks that all read as zeroes, or all are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Whether they read as zeroes.
    pub(crate) zero: bool,
    /// The first block after them.
    pub(crate) end: BlockNr,
}

/// The first block of an area, and the content of its n-th block.
type Area = (u64, fn(u64) -> Region);

impl Layout {
    /// The content of a block; [`Region::Zero`] after the end of the disk.
    pub(crate) fn region(&self, block: BlockNr) -> Region {
        if self.run(block).zero {
            return Region::Zero;
        }
        let areas: [Area; 10] = [
            (self.journal, |_| Region::Journal),
            (self.inode_bitmaps, |n| Region::InodeBitmap(exact(n))),
            (self.block_bitmaps, |n| Region::BlockBitmap(exact(n))),
            (self.data, Region::Data),
            (self.extent_leaves, Region::ExtentLeaf),
            (self.symlinks, Region::Symlink),
            (self.directories, Region::Directory),
            (self.inode_tables, |n| Region::InodeTable {
                first: first_inode(n),
            }),
            (1, |n| Region::GroupDescriptors {
                first: exact::<u32, _>(n) * DESCRIPTORS_PER_BLOCK,
            }),
            (0, |_| Region::Superblock),
        ];
        let (start, region) = areas
            .into_iter()
            .find(|(start, _)| *start <= block.0)
            .expect("the last of the areas starts at block 0");
        region(block.0 - start)
    }

    /// The run from `block` on, which lies on the disk. The next run may be of
    /// the same kind.
    pub(crate) fn run(&self, block: BlockNr) -> Run {
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
        // After the last of them, free space reaches to the end of the disk.
        Run {
            zero: true,
            end: BlockNr(next.unwrap_or(self.block_count())),
        }
    }

    /// The runs of blocks that are stored. Four areas end in zeroes: the inode
    /// tables in use after the last inode, both kinds of bitmaps from the first
    /// group without anything in use on, and the journal after its first block.
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

/// The first inode in the n-th block of the inode tables in use.
fn first_inode(table_block: u64) -> InodeNr {
    InodeNr::MIN.plus(exact::<u32, _>(table_block) * INODES_PER_BLOCK)
}
