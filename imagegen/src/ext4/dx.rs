//! The index blocks of a directory
//! (`Documentation/filesystems/ext4/directory.rst`, "Hash Tree Directories").
//!
//! To readers without `dir_index` they look like directory blocks without
//! entries.

use super::{
    checksum::InodeChecksum,
    dir::{Directory, write_record},
    numbers::Block,
};
use std::mem::offset_of;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32},
    transmute, transmute_mut,
};

/// The most children of a root.
pub(super) const ROOT_LIMIT: u16 = 507;
/// The most children of a node.
pub(super) const NODE_LIMIT: u16 = 510;

/// A block one level down, and the lowest hash in it.
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

/// `struct dx_countlimit`, which takes the place of the first entry's hash: it
/// is the lowest one and is not compared.
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
    /// `..`, whose record covers the rest of the block.
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
    /// `fake`: an unused entry whose record is the whole block.
    inode: U32,
    record_length: U16,
    name: [u8; 2],
    first: FirstEntry,
    entries: [DxEntry; 509],
    tail: Tail,
}

/// Writes the root of an index with `levels` levels of nodes between it and the
/// leaves.
///
/// # Panics
///
/// If there are no children, or more than [`ROOT_LIMIT`].
pub(super) fn write_root(
    directory: &Directory,
    levels: u8,
    children: impl Iterator<Item = Child>,
    out: &mut Block,
) {
    out.fill(0);
    let (first, rest) = out.split_at_mut(offset_of!(Root, dotdot));
    let [dot, dotdot] = &directory.dots;
    write_record(dot, first);
    write_record(dotdot, rest);
    let root: &mut Root = transmute_mut!(out);
    root.info.hash_version = 1;
    root.info.info_length = 8;
    root.info.indirect_levels = levels;
    let used = fill(&mut root.first, &mut root.entries, children);
    root.first.limit = U16::new(ROOT_LIMIT);
    seal(out, 32 + used, directory.checksum);
}

/// Writes a node between the root and the leaves.
///
/// # Panics
///
/// If there are no children, or more than [`NODE_LIMIT`].
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

/// Writes the children; returns the length of their entries in bytes.
fn fill(
    first: &mut FirstEntry,
    entries: &mut [DxEntry],
    mut children: impl Iterator<Item = Child>,
) -> usize {
    let mut count = 1;
    let lowest = children.next().expect("an index block has a child");
    first.block = U32::new(lowest.block);
    for (slot, child) in entries.iter_mut().zip(children.by_ref()) {
        *slot = DxEntry {
            hash: U32::new(child.key),
            block: U32::new(child.block),
        };
        count += 1;
    }
    assert!(
        children.next().is_none(),
        "an index block is given no more children than it holds"
    );
    first.count = U16::new(count);
    usize::from(count) * size_of::<DxEntry>()
}

/// Sets the checksum over the entries in use and the tail, without the free
/// entries between them (`ext4_dx_csum`).
fn seal(block: &mut Block, used: usize, checksum: InodeChecksum) {
    let (entries, tail) = block
        .split_last_chunk_mut::<{ size_of::<Tail>() }>()
        .expect("a block is longer than its tail");
    let sum = checksum.of_index(&entries[..used], tail);
    *tail = transmute!(Tail {
        reserved: U32::ZERO,
        checksum: U32::new(sum)
    });
}
