//! Extents, which map a file to its blocks
//! (`Documentation/filesystems/ext4/ifork.rst`, `fs/ext4/ext4_extents.h`).
//!
//! The blocks of a file are contiguous, so the first block and their number
//! determine its whole extent tree.

use super::{
    checksum::InodeChecksum,
    numbers::{BLOCK_SIZE, Block, BlockNr, high_u32, low_u32},
};
use crate::numbers::exact;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32},
    transmute, transmute_mut,
};

/// The most blocks of a file: 4 leaves of 340 extents of 128 MiB, 170 GiB
/// together. A longer file would need an extent tree of depth 2.
pub(crate) const MAX_BLOCKS: u64 = IN_INODE * IN_LEAF * EXTENT_BLOCKS;

/// The most extents, or leaves, in an inode.
const IN_INODE: u64 = 4;
/// The most extents in a leaf.
const IN_LEAF: u64 = 340;
/// Blocks of the longest initialized extent, `EXT_INIT_MAX_LEN`.
const EXTENT_BLOCKS: u64 = 32768;

/// `struct ext4_extent_header`
#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    /// `eh_magic`
    magic: U16,
    /// `eh_entries`
    entries: U16,
    /// `eh_max`
    max: U16,
    /// `eh_depth`
    depth: U16,
    /// `eh_generation`
    generation: U32,
}

/// `struct ext4_extent`
#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct Extent {
    /// `ee_block`
    block: U32,
    /// `ee_len`
    length: U16,
    /// `ee_start_hi`
    start_high: U16,
    /// `ee_start_lo`
    start_low: U32,
}

/// `struct ext4_extent_idx`
#[derive(Immutable, IntoBytes, Unaligned)]
#[repr(C)]
struct Index {
    /// `ei_block`
    block: U32,
    /// `ei_leaf_lo`
    leaf_low: U32,
    /// `ei_leaf_hi`
    leaf_high: U16,
    /// `ei_unused`
    unused: U16,
}

/// `i_block`: the root of the tree. Its entries are [extents](Extent) at depth
/// 0 and [indexes](Index) at depth 1.
#[derive(Immutable, IntoBytes, Unaligned)]
#[repr(C)]
struct Root {
    header: Header,
    entries: [[u8; 12]; 4],
}

/// A leaf, which is one block.
#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct Leaf {
    header: Header,
    extents: [Extent; 340],
    /// `et_checksum` of `struct ext4_extent_tail`
    checksum: U32,
}

/// The number of extent leaves of a file of `blocks` blocks: 0 up to 512 MiB,
/// at most 4 up to [`MAX_BLOCKS`].
pub(crate) const fn leaf_count(blocks: u64) -> u64 {
    let extents = blocks.div_ceil(EXTENT_BLOCKS);
    if extents <= IN_INODE {
        0
    } else {
        extents.div_ceil(IN_LEAF)
    }
}

/// Writes leaf `index`, counted from 0, of a file of `count` blocks that start
/// at `start`.
///
/// # Panics
///
/// If the file has no such leaf (see [`leaf_count`]).
pub(crate) fn leaf(
    start: BlockNr,
    count: u64,
    index: u64,
    checksum: InodeChecksum,
    out: &mut Block,
) {
    assert!(
        index < leaf_count(count),
        "a file of {count} blocks has no extent leaf {index}"
    );
    out.fill(0);
    let leaf: &mut Leaf = transmute_mut!(out);
    let first = index * IN_LEAF;
    let mut entries = 0;
    for (slot, extent) in leaf.extents.iter_mut().zip(extents(start, count, first)) {
        *slot = extent;
        entries += 1;
    }
    leaf.header = header(entries, IN_LEAF, 0);
    let covered = BLOCK_SIZE - size_of::<U32>();
    let sum = checksum.of(&leaf.as_bytes()[..covered]);
    leaf.checksum = U32::new(sum);
}

/// The `i_block` of a file of `count` blocks that start at `start`, its leaves
/// at `leaves`.
///
/// # Panics
///
/// If there are more than [`MAX_BLOCKS`].
pub(super) fn root(start: BlockNr, count: u64, leaves: BlockNr) -> [u8; 60] {
    assert!(count <= MAX_BLOCKS, "a file of {count} blocks is too long");
    let mut entries = [[0; 12]; 4];
    let depth = leaf_count(count).min(1);
    if depth == 0 {
        let extents = extents(start, count, 0).map(|extent| transmute!(extent));
        let used = fill(&mut entries, extents);
        transmute!(Root {
            header: header(used, IN_INODE, depth),
            entries
        })
    } else {
        let indexes = (0..leaf_count(count)).map(|leaf| transmute!(index_of(leaf, leaves)));
        let used = fill(&mut entries, indexes);
        transmute!(Root {
            header: header(used, IN_INODE, depth),
            entries
        })
    }
}

/// Writes the entries of a root; returns their number.
fn fill(entries: &mut [[u8; 12]; 4], mut from: impl Iterator<Item = [u8; 12]>) -> u64 {
    let mut used = 0;
    for (slot, entry) in entries.iter_mut().zip(from.by_ref()) {
        *slot = entry;
        used += 1;
    }
    assert!(from.next().is_none(), "an inode holds four extents");
    used
}

fn header(entries: u64, max: u64, depth: u64) -> Header {
    Header {
        magic: U16::new(0xF30A),
        entries: U16::new(exact(entries)),
        max: U16::new(exact(max)),
        depth: U16::new(exact(depth)),
        generation: U32::ZERO,
    }
}

/// The extents of a file, from number `first` on.
fn extents(start: BlockNr, count: u64, first: u64) -> impl Iterator<Item = Extent> {
    (first..count.div_ceil(EXTENT_BLOCKS)).map(move |extent| {
        let logical = extent * EXTENT_BLOCKS;
        let physical = start.0 + logical;
        Extent {
            block: U32::new(exact(logical)),
            length: U16::new(exact((count - logical).min(EXTENT_BLOCKS))),
            start_high: U16::new(exact(high_u32(physical))),
            start_low: U32::new(low_u32(physical)),
        }
    })
}

fn index_of(leaf: u64, leaves: BlockNr) -> Index {
    let physical = leaves.0 + leaf;
    Index {
        block: U32::new(exact(leaf * IN_LEAF * EXTENT_BLOCKS)),
        leaf_low: U32::new(low_u32(physical)),
        leaf_high: U16::new(exact(high_u32(physical))),
        unused: U16::ZERO,
    }
}
