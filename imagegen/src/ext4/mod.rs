//! The on-disk format of ext4: counts in, geometry out; structs to bytes.
//!
//! Everything here is pure and total. A caller says how many inodes,
//! directory blocks and data blocks a file system holds ([`Demand`]), gets
//! where all of them lie ([`Layout`]), and then asks for the bytes of any
//! block, in any order. No block needs another one to be made first:
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
//! The file system has 4 KiB blocks, 256-byte inodes, extents, checksums on
//! all metadata, and a journal only where there is free space: a disk that
//! nobody writes to needs none. Names and offsets of fields are those of the
//! kernel's `Documentation/filesystems/ext4/` and `fs/ext4/ext4.h`; numbers on
//! disk are little endian throughout.

pub mod checksum;
pub mod dir;
mod dx;
pub mod extent;
pub mod group;
mod hash;
mod htree;
pub mod inode;
pub mod journal;
pub mod layout;
mod numbers;
mod packing;
mod region;
pub mod superblock;
#[cfg(test)]
mod tests;
mod time;

pub use checksum::{Checksum, InodeChecksum};
pub use dir::{Entry, FileType};
pub use inode::{Body, Inode, Mode};
pub use layout::{Demand, Layout};
pub use numbers::{BLOCK_SIZE, Block, BlockNr, InodeNr};
pub use packing::Packing;
pub use region::{Region, Run};
pub use superblock::{Identity, superblock};
