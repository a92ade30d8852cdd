//! Blocks, and the numbers of blocks and inodes.

use std::num::NonZeroU32;

/// Bytes in a block; `s_log_block_size` 2.
pub const BLOCK_SIZE: usize = 4096;

/// The bytes of one block.
pub type Block = [u8; BLOCK_SIZE];

/// [`BLOCK_SIZE`] for sums over whole disks.
pub(super) const BLOCK_BYTES: u64 = 4096;
/// `s_blocks_per_group`: as many as one bitmap block has bits.
pub(super) const BLOCKS_PER_GROUP: u64 = 32768;
/// `s_inodes_per_group`. The kernel reads inodes ahead within one group's
/// table only, so small groups cost requests.
pub(super) const INODES_PER_GROUP: u32 = 8192;
/// Inodes of 256 bytes in a block of the inode table.
pub(super) const INODES_PER_BLOCK: u32 = 16;
/// Group descriptors of 32 bytes in a block.
pub(super) const DESCRIPTORS_PER_BLOCK: u32 = 128;
/// `s_inode_size`
pub(super) const INODE_SIZE: usize = 256;
/// [`INODE_SIZE`], as the superblock says it.
pub(super) const INODE_BYTES: u16 = 256;
/// `i_extra_isize`: how far the fields of an inode reach beyond the first 128
/// bytes.
pub(super) const EXTRA_ISIZE: u16 = 32;

/// A block of the disk, counted from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockNr(pub u64);

/// An inode of the file system. There is no inode 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InodeNr(NonZeroU32);

impl InodeNr {
    /// The root directory, `EXT4_ROOT_INO`.
    pub const ROOT: Self = Self::MIN.plus(1);
    /// The first inode that is not reserved, `EXT4_GOOD_OLD_FIRST_INO`.
    pub const FIRST: Self = Self::LAST_RESERVED.plus(1);
    /// The one before it.
    pub(super) const LAST_RESERVED: Self = Self::MIN.plus(9);
    /// The lowest there is, reserved and never used.
    pub(super) const MIN: Self = Self(NonZeroU32::MIN);

    /// The inode of this number, unless it is 0.
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The inode that many places further on, or the last that can be.
    #[must_use]
    pub const fn plus(self, places: u32) -> Self {
        Self(self.0.saturating_add(places))
    }

    /// The block group whose inode table holds it.
    pub const fn group(self) -> u32 {
        (self.get() - 1) / INODES_PER_GROUP
    }
}

/// The low half. On disk, fields that grew over time lie in two pieces.
pub(super) const fn low_u32(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The high half.
pub(super) const fn high_u32(value: u64) -> u32 {
    low_u32(value >> 32)
}

/// The low half.
pub(super) const fn low_u16(value: u32) -> u16 {
    let [a, b, ..] = value.to_le_bytes();
    u16::from_le_bytes([a, b])
}

/// The high half.
pub(super) const fn high_u16(value: u32) -> u16 {
    low_u16(value >> 16)
}

/// The lowest byte.
pub(super) const fn low_u8(value: u32) -> u8 {
    let [a, ..] = value.to_le_bytes();
    a
}

/// A position in memory. Nothing this room counts exceeds what memory can
/// hold, so it never saturates.
pub(super) fn index(value: impl TryInto<usize>) -> usize {
    value.try_into().unwrap_or(usize::MAX)
}

/// How many things there are in memory, for sums over whole disks.
pub(super) fn count(length: usize) -> u64 {
    length.try_into().unwrap_or(u64::MAX)
}
