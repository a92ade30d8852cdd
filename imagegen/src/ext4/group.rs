//! Block groups: descriptors and bitmaps
//! (`Documentation/filesystems/ext4/group_descr.rst`, `bitmaps.rst`).
//!
//! What is in use is one run of blocks and one of inodes. So a group is full,
//! partly full up to some bit, or empty; and an empty one says `BLOCK_UNINIT`
//! or `INODE_UNINIT`, and its bitmap is never read.

use super::{
    checksum::Checksum,
    layout::Layout,
    numbers::{BLOCK_SIZE, BLOCKS_PER_GROUP, Block, INODES_PER_GROUP, low_u8, low_u16, low_u32},
};
use zerocopy::{
    FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32},
    transmute_mut,
};

/// `EXT4_BG_INODE_UNINIT`
const INODE_UNINIT: u16 = 1;
/// `EXT4_BG_BLOCK_UNINIT`
const BLOCK_UNINIT: u16 = 2;
/// `EXT4_BG_INODE_ZEROED`: without it a kernel that mounts read-write would
/// write zeroes over all free inodes.
const INODE_ZEROED: u16 = 4;

/// The bytes of an inode bitmap that stand for inodes, and have a checksum.
const INODE_BITMAP_BYTES: usize = 1024;

/// `struct ext4_group_desc`, of 32 bytes as long as `64bit` is off.
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

/// The block of descriptors that begins with the one of group `first`.
/// `used_dirs` says how many directories have their inode in a group.
pub fn descriptors(
    layout: &Layout,
    checksum: &Checksum,
    first: u32,
    used_dirs: impl Fn(u32) -> u32,
    out: &mut Block,
) {
    out.fill(0);
    let table: &mut [GroupDescriptor; 128] = transmute_mut!(out);
    let bitmaps = BitmapChecksums::new(checksum);
    for (slot, group) in table.iter_mut().zip(first..layout.group_count()) {
        let mut descriptor = describe(layout, group, &bitmaps);
        descriptor.used_dirs_count = U16::new(low_u16(used_dirs(group)));
        descriptor.checksum = U16::new(low_u16(checksum.descriptor(group, descriptor.as_bytes())));
        *slot = descriptor;
    }
}

/// The block bitmap of a group.
pub fn block_bitmap(layout: &Layout, group: u32, out: &mut Block) {
    set_first(out, layout.used_blocks_of(group));
}

/// The inode bitmap of a group. The bits behind the last inode are set, as if
/// those were in use.
pub fn inode_bitmap(layout: &Layout, group: u32, out: &mut Block) {
    out.fill(0xFF);
    if let Some(bits) = out.first_chunk_mut::<INODE_BITMAP_BYTES>() {
        set_first(bits, layout.used_inodes_of(group));
    }
}

/// The descriptor of a group, but for its directories and its checksum.
fn describe(layout: &Layout, group: u32, bitmaps: &BitmapChecksums<'_>) -> GroupDescriptor {
    let used_blocks = layout.used_blocks_of(group);
    let used_inodes = layout.used_inodes_of(group);
    let mut descriptor = GroupDescriptor::new_zeroed();
    descriptor.block_bitmap = U32::new(low_u32(layout.block_bitmap(group)));
    descriptor.inode_bitmap = U32::new(low_u32(layout.inode_bitmap(group)));
    descriptor.inode_table = U32::new(low_u32(layout.inode_table(group)));
    descriptor.free_blocks_count = U16::new(low_u16(low_u32(BLOCKS_PER_GROUP) - used_blocks));
    descriptor.free_inodes_count = U16::new(low_u16(INODES_PER_GROUP - used_inodes));
    descriptor.unused_inodes_count = descriptor.free_inodes_count;
    let mut flags = INODE_ZEROED;
    // The last group has a bitmap in any case: e2fsck insists.
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

/// Checksums of bitmaps. Nearly all groups in use are full, so those bitmaps
/// are summed only once.
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

/// Sets the first `count` bits, and clears all others.
fn set_first(bits: &mut [u8], count: u32) {
    for (byte, before) in bits.iter_mut().zip((0..).step_by(8)) {
        *byte = match count.saturating_sub(before) {
            set @ 0..8 => low_u8((1 << set) - 1),
            _ => 0xFF,
        };
    }
}
