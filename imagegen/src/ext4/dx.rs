//! The index blocks of a directory
//! (`Documentation/filesystems/ext4/directory.rst`, "Hash Tree Directories").
//!
//! They are disguised as directory blocks without entries, for those that
//! know of no index.

use super::{
    checksum::InodeChecksum,
    dir::{Directory, write_record},
    numbers::Block,
};
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32},
    transmute, transmute_mut,
};

/// Children that the root has room for.
pub(super) const ROOT_LIMIT: u16 = 507;
/// Children that a node has room for.
pub(super) const NODE_LIMIT: u16 = 510;

/// A block further down, and the lowest hash in it.
pub(super) struct Child {
    pub(super) key: u32,
    pub(super) block: u32,
}

/// `struct dx_entry`
#[derive(Clone, Copy, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct DxEntry {
    /// `hash`
    hash: U32,
    /// `block`
    block: U32,
}

/// `struct dx_countlimit`, which lies over the hash of the first entry: that
/// one is the lowest, so nobody needs it.
#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct FirstEntry {
    /// `limit`
    limit: U16,
    /// `count`
    count: U16,
    /// `block`
    block: U32,
}

/// `struct dx_root_info`
#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct RootInfo {
    /// `reserved_zero`
    reserved: U32,
    /// `hash_version`
    hash_version: u8,
    /// `info_length`
    info_length: u8,
    /// `indirect_levels`
    indirect_levels: u8,
    /// `unused_flags`
    flags: u8,
}

/// `struct dx_tail`
#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct Tail {
    /// `dt_reserved`
    reserved: U32,
    /// `dt_checksum`
    checksum: U32,
}

/// `struct dx_root`
#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct Root {
    dot: [u8; 12],
    /// `..`, whose record hides all that follows.
    dotdot: [u8; 12],
    info: RootInfo,
    first: FirstEntry,
    entries: [DxEntry; 506],
    tail: Tail,
}

/// `struct dx_node`
#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct Node {
    /// `fake`: an entry without inode, whose record is the whole block.
    inode: U32,
    record_length: U16,
    name: [u8; 2],
    first: FirstEntry,
    entries: [DxEntry; 509],
    tail: Tail,
}

/// The root of an index that has `levels` of nodes between it and the leaves.
pub(super) fn write_root(
    directory: &Directory,
    levels: u8,
    children: impl Iterator<Item = Child>,
    out: &mut Block,
) {
    out.fill(0);
    if let Some((first, rest)) = out.split_first_chunk_mut::<12>() {
        let [dot, dotdot] = &directory.dots;
        write_record(dot, first);
        write_record(dotdot, rest);
    }
    let root: &mut Root = transmute_mut!(out);
    root.info.hash_version = 1;
    root.info.info_length = 8;
    root.info.indirect_levels = levels;
    let used = fill(&mut root.first, &mut root.entries, children);
    root.first.limit = U16::new(ROOT_LIMIT);
    seal(out, 32 + used, directory.checksum);
}

/// A node between the root and the leaves.
pub(super) fn write_node(
    children: impl Iterator<Item = Child>,
    checksum: InodeChecksum,
    out: &mut Block,
) {
    out.fill(0);
    let node: &mut Node = transmute_mut!(out);
    node.record_length = U16::new(4096);
    let used = fill(&mut node.first, &mut node.entries, children);
    node.first.limit = U16::new(NODE_LIMIT);
    seal(out, 8 + used, checksum);
}

/// Puts in the children, and says how many bytes those are.
fn fill(
    first: &mut FirstEntry,
    entries: &mut [DxEntry],
    mut children: impl Iterator<Item = Child>,
) -> usize {
    let mut count = 1;
    first.block = U32::new(children.next().map_or(0, |child| child.block));
    for (slot, child) in entries.iter_mut().zip(children) {
        *slot = DxEntry {
            hash: U32::new(child.key),
            block: U32::new(child.block),
        };
        count += 1;
    }
    first.count = U16::new(count);
    usize::from(count) * size_of::<DxEntry>()
}

/// Sums the bytes in use and the tail, not the free entries between them
/// (`ext4_dx_csum`).
fn seal(block: &mut Block, used: usize, checksum: InodeChecksum) {
    if let Some((before, tail)) = block.split_last_chunk_mut::<{ size_of::<Tail>() }>() {
        let sum = checksum.of_index(before.get(..used).unwrap_or_default(), tail);
        *tail = transmute!(Tail {
            reserved: U32::ZERO,
            checksum: U32::new(sum)
        });
    }
}
