//! Block groups: descriptors and bitmaps
//! (`Documentation/filesystems/ext4/group_descr.rst`, `bitmaps.rst`).
//!
//! The blocks in use are one run from the first block on, and so are the
//! inodes. A group is thus full, in use up to some bit, or empty. The bitmaps
//! of an empty group are marked `BLOCK_UNINIT` and `INODE_UNINIT`, and never
//! read.

use super::{
    checksum::Checksum,
    layout::Layout,
    numbers::{BLOCK_SIZE, BLOCKS_PER_GROUP, Block, INODES_PER_GROUP, low_u16},
};
use crate::numbers::exact;
use zerocopy::{
    FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32},
    transmute_mut,
};

/// `EXT4_BG_INODE_UNINIT`
const INODE_UNINIT: u16 = 1;
/// `EXT4_BG_BLOCK_UNINIT`
const BLOCK_UNINIT: u16 = 2;
/// `EXT4_BG_INODE_ZEROED`: without it a kernel that mounts read-write writes
/// zeroes over all free inodes.
const INODE_ZEROED: u16 = 4;

/// The bytes of an inode bitmap that stand for inodes; the checksum covers
/// these only.
const INODE_BITMAP_BYTES: usize = 1024;

/// `struct ext4_group_desc`, of 32 bytes without `64bit`.
#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
struct GroupDescriptor {
    /// `bg_block_bitmap_lo`
    block_bitmap: U32,
    /// `bg_inode_bitmap_lo`
    inode_bitmap: U32,
    /// `bg_inode_table_lo`
    inode_table: U32,
    /// `bg_free_blocks_count_lo`
    free_blocks_count: U16,
    /// `bg_free_inodes_count_lo`
    free_inodes_count: U16,
    /// `bg_used_dirs_count_lo`
    used_dirs_count: U16,
    /// `bg_flags`
    flags: U16,
    /// `bg_exclude_bitmap_lo`
    exclude_bitmap: U32,
    /// `bg_block_bitmap_csum_lo`
    block_bitmap_checksum: U16,
    /// `bg_inode_bitmap_csum_lo`
    inode_bitmap_checksum: U16,
    /// `bg_itable_unused_lo`
    unused_inodes_count: U16,
    /// `bg_checksum`
    checksum: U16,
}

/// Writes the block of descriptors whose first is that of group `first`.
/// `used_dirs` gives the number of directories whose inode lies in a group.
pub(crate) fn descriptors(
    layout: &Layout,
    checksum: Checksum,
    first: u32,
    used_dirs: impl Fn(u32) -> u32,
    out: &mut Block,
) {
    out.fill(0);
    let table: &mut [GroupDescriptor; 128] = transmute_mut!(out);
    let bitmaps = BitmapChecksums::new(&checksum);
    for (slot, group) in table.iter_mut().zip(first..layout.group_count()) {
        let mut descriptor = describe(layout, group, &bitmaps);
        descriptor.used_dirs_count = U16::new(exact(used_dirs(group)));
        descriptor.checksum = U16::new(low_u16(checksum.descriptor(group, descriptor.as_bytes())));
        *slot = descriptor;
    }
}

/// Writes the block bitmap of a group.
pub(crate) fn block_bitmap(layout: &Layout, group: u32, out: &mut Block) {
    set_first(out, layout.used_blocks_of(group));
}

/// Writes the inode bitmap of a group. The padding after the bits of its inodes
/// is all ones.
pub(crate) fn inode_bitmap(layout: &Layout, group: u32, out: &mut Block) {
    out.fill(0xFF);
    set_first(&mut out[..INODE_BITMAP_BYTES], layout.used_inodes_of(group));
}

/// The descriptor of a group, without the number of directories and the
/// checksum.
fn describe(layout: &Layout, group: u32, bitmaps: &BitmapChecksums<'_>) -> GroupDescriptor {
    let used_blocks = layout.used_blocks_of(group);
    let used_inodes = layout.used_inodes_of(group);
    let mut descriptor = GroupDescriptor::new_zeroed();
    descriptor.block_bitmap = U32::new(exact(layout.block_bitmap(group)));
    descriptor.inode_bitmap = U32::new(exact(layout.inode_bitmap(group)));
    descriptor.inode_table = U32::new(exact(layout.inode_table(group)));
    descriptor.free_blocks_count = U16::new(exact(BLOCKS_PER_GROUP - u64::from(used_blocks)));
    descriptor.free_inodes_count = U16::new(exact(INODES_PER_GROUP - used_inodes));
    descriptor.unused_inodes_count = descriptor.free_inodes_count;
    let mut flags = INODE_ZEROED;
    // e2fsck reports a last group whose block bitmap is uninitialized.
    if used_blocks == 0 && group + 1 != layout.group_count() {
        flags |= BLOCK_UNINIT;
    } else {
        descriptor.block_bitmap_checksum = U16::new(bitmaps.blocks(used_blocks));
    }
    if used_inodes == 0 {
        flags |= INODE_UNINIT;
    } else {
        descriptor.inode_bitmap_checksum = U16::new(bitmaps.inodes(used_inodes));
    }
    descriptor.flags = U16::new(flags);
    descriptor
}

/// Checksums of bitmaps. Nearly all groups in use are full, so the checksum of
/// a full bitmap is computed once.
struct BitmapChecksums<'a> {
    checksum: &'a Checksum,
    all_blocks: u16,
    all_inodes: u16,
}

impl<'a> BitmapChecksums<'a> {
    fn new(checksum: &'a Checksum) -> Self {
        Self {
            checksum,
            all_blocks: low_u16(checksum.bitmap(&[0xFF; BLOCK_SIZE])),
            all_inodes: low_u16(checksum.bitmap(&[0xFF; INODE_BITMAP_BYTES])),
        }
    }

    fn blocks(&self, used: u32) -> u16 {
        if u64::from(used) == BLOCKS_PER_GROUP {
            return self.all_blocks;
        }
        let mut bits = [0; BLOCK_SIZE];
        set_first(&mut bits, used);
        low_u16(self.checksum.bitmap(&bits))
    }

    fn inodes(&self, used: u32) -> u16 {
        if used == INODES_PER_GROUP {
            return self.all_inodes;
        }
        let mut bits = [0; INODE_BITMAP_BYTES];
        set_first(&mut bits, used);
        low_u16(self.checksum.bitmap(&bits))
    }
}

/// Sets the first `count` bits and clears all others.
fn set_first(bits: &mut [u8], count: u32) {
    for (byte, before) in bits.iter_mut().zip((0..).step_by(8)) {
        // Past the last bit that is set, none of this byte's are.
        *byte = match count.saturating_sub(before) {
            set @ 0..8 => exact((1_u32 << set) - 1),
            _ => 0xFF,
        };
    }
}
