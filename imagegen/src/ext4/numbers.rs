//! Blocks, block and inode numbers, and the halves of split fields.

use std::num::NonZeroU32;

/// The size of a block in bytes, `s_log_block_size` 2.
pub(crate) const BLOCK_SIZE: usize = 4096;

/// The bytes of one block.
pub(crate) type Block = [u8; BLOCK_SIZE];

/// [`BLOCK_SIZE`] for offsets on a disk.
pub(super) const BLOCK_BYTES: u64 = 4096;
/// `s_blocks_per_group`: the number of bits of a block.
pub(super) const BLOCKS_PER_GROUP: u64 = 32768;
/// `s_inodes_per_group`. The kernel's read-ahead of inodes ends with the inode
/// table of a group, so smaller groups would cost more requests.
pub(super) const INODES_PER_GROUP: u32 = 8192;
/// The number of inodes of 256 bytes in a block of the inode table.
pub(super) const INODES_PER_BLOCK: u32 = 16;
/// The number of group descriptors of 32 bytes in a block.
pub(super) const DESCRIPTORS_PER_BLOCK: u32 = 128;
/// The size of an inode in the inode table in bytes.
pub(crate) const INODE_SIZE: usize = 256;
/// [`INODE_SIZE`] as `s_inode_size`.
pub(super) const INODE_BYTES: u16 = 256;
/// `i_extra_isize`: the length of an inode's fields after the first 128 bytes.
pub(super) const EXTRA_ISIZE: u16 = 32;

/// The number of a block, counted from 0 at the start of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BlockNr(pub(crate) u64);

/// The number of an inode, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct InodeNr(NonZeroU32);

impl InodeNr {
    /// The root directory, `EXT4_ROOT_INO`.
    pub(crate) const ROOT: Self = Self::MIN.plus(1);
    /// The first inode that is not reserved, `EXT4_GOOD_OLD_FIRST_INO`.
    pub(crate) const FIRST: Self = Self::LAST_RESERVED.plus(1);
    /// The last reserved inode, 10.
    pub(super) const LAST_RESERVED: Self = Self::MIN.plus(9);
    /// Inode 1, which is reserved and never used.
    pub(super) const MIN: Self = Self(NonZeroU32::MIN);

    /// The inode of this number; `None` for 0.
    pub(crate) const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number.
    pub(crate) const fn get(self) -> u32 {
        self.0.get()
    }

    /// The inode whose number is higher by `count`.
    ///
    /// # Panics
    ///
    /// If the number would not fit into 32 bits.
    #[must_use]
    pub(crate) const fn plus(self, count: u32) -> Self {
        Self(
            self.0
                .checked_add(count)
                .expect("inode numbers have 32 bits"),
        )
    }

    /// The block group whose inode table holds it.
    pub(crate) const fn group(self) -> u32 {
        (self.get() - 1) / INODES_PER_GROUP
    }
}

/// The low half of a number. Fields that were widened over time are stored in
/// two parts.
pub(super) const fn low_u32(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The high half of a number.
pub(super) const fn high_u32(value: u64) -> u32 {
    low_u32(value >> 32)
}

/// The low half of a number.
pub(super) const fn low_u16(value: u32) -> u16 {
    let [a, b, ..] = value.to_le_bytes();
    u16::from_le_bytes([a, b])
}

/// The high half of a number.
pub(super) const fn high_u16(value: u32) -> u16 {
    low_u16(value >> 16)
}
