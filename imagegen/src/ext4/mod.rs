//! The on-disk format of ext4.
//!
//! Nothing here does I/O or knows of git. A caller states how many inodes,
//! directory blocks and data blocks a file system has to hold ([`Demand`]),
//! gets where each of them lies ([`Layout`]), and then generates any block, in
//! any order:
//!
//! ```text
//! Demand ─► Layout ─► region(block) ─┬─ Superblock        superblock()
//!                                    ├─ GroupDescriptors  group::descriptors()
//!                                    ├─ InodeTable        Inode::encode(), inode::reserved()
//!                                    ├─ Directory         Packing::write()
//!                                    ├─ Symlink           the target, then zeroes
//!                                    ├─ ExtentLeaf        extent::leaf()
//!                                    ├─ Data              the files' own bytes
//!                                    ├─ BlockBitmap       group::block_bitmap()
//!                                    ├─ InodeBitmap       group::inode_bitmap()
//!                                    ├─ Journal           journal::first_block()
//!                                    └─ Zero              zeroes
//! ```
//!
//! The file system has 4 KiB blocks, 256-byte inodes, extents, checksums on all
//! metadata, and a journal if there is free space: a disk that is never written
//! to needs none. Fields are named as in the kernel's
//! `Documentation/filesystems/ext4/` and `fs/ext4/ext4.h`. Numbers on disk are
//! little endian, except in the journal.

pub(crate) mod checksum;
pub(crate) mod dir;
mod dx;
pub(crate) mod extent;
pub(crate) mod group;
mod hash;
mod htree;
mod identity;
pub(crate) mod inode;
pub(crate) mod journal;
pub(crate) mod layout;
mod numbers;
mod packing;
mod region;
pub(crate) mod superblock;
#[cfg(test)]
mod tests;
mod time;

pub(crate) use checksum::Checksum;
pub(crate) use dir::{Entry, FileType};
pub(crate) use identity::Identity;
pub(crate) use inode::{Body, Inode, Mode, Time};
pub(crate) use layout::{Demand, Layout};
pub(crate) use numbers::{BLOCK_SIZE, Block, BlockNr, INODE_SIZE, InodeNr};
pub(crate) use packing::Packing;
pub(crate) use region::Region;
pub use superblock::Use;
pub(crate) use superblock::{recognize, superblock};
