//! The fields of a small image as text.
//!
//! Offsets and names are from the kernel's documentation, independent of the
//! structs of this crate.

use super::{
    disk::{Disk, Options},
    tree::{directory, file, symlink},
};
use crate::ext4::BlockNr;
use std::fmt::Write;

/// Offset, width in bytes, name.
type Field = (usize, usize, &'static str);

const SUPERBLOCK: &[Field] = &[
    (0x0, 4, "s_inodes_count"),
    (0x4, 4, "s_blocks_count_lo"),
    (0x8, 4, "s_r_blocks_count_lo"),
    (0xC, 4, "s_free_blocks_count_lo"),
    (0x10, 4, "s_free_inodes_count"),
    (0x14, 4, "s_first_data_block"),
    (0x18, 4, "s_log_block_size"),
    (0x1C, 4, "s_log_cluster_size"),
    (0x20, 4, "s_blocks_per_group"),
    (0x24, 4, "s_clusters_per_group"),
    (0x28, 4, "s_inodes_per_group"),
    (0x2C, 4, "s_mtime"),
    (0x30, 4, "s_wtime"),
    (0x34, 2, "s_mnt_count"),
    (0x36, 2, "s_max_mnt_count"),
    (0x38, 2, "s_magic"),
    (0x3A, 2, "s_state"),
    (0x3C, 2, "s_errors"),
    (0x3E, 2, "s_minor_rev_level"),
    (0x40, 4, "s_lastcheck"),
    (0x44, 4, "s_checkinterval"),
    (0x48, 4, "s_creator_os"),
    (0x4C, 4, "s_rev_level"),
    (0x50, 2, "s_def_resuid"),
    (0x52, 2, "s_def_resgid"),
    (0x54, 4, "s_first_ino"),
    (0x58, 2, "s_inode_size"),
    (0x5A, 2, "s_block_group_nr"),
    (0x5C, 4, "s_feature_compat"),
    (0x60, 4, "s_feature_incompat"),
    (0x64, 4, "s_feature_ro_compat"),
    (0x68, 16, "s_uuid"),
    (0x78, 16, "s_volume_name"),
    (0x88, 64, "s_last_mounted"),
    (0xC8, 4, "s_algorithm_usage_bitmap"),
    (0xCC, 1, "s_prealloc_blocks"),
    (0xCD, 1, "s_prealloc_dir_blocks"),
    (0xCE, 2, "s_reserved_gdt_blocks"),
    (0xD0, 16, "s_journal_uuid"),
    (0xE0, 4, "s_journal_inum"),
    (0xE4, 4, "s_journal_dev"),
    (0xE8, 4, "s_last_orphan"),
    (0xEC, 16, "s_hash_seed"),
    (0xFC, 1, "s_def_hash_version"),
    (0xFD, 1, "s_jnl_backup_type"),
    (0xFE, 2, "s_desc_size"),
    (0x100, 4, "s_default_mount_opts"),
    (0x104, 4, "s_first_meta_bg"),
    (0x108, 4, "s_mkfs_time"),
    (0x10C, 68, "s_jnl_blocks"),
    (0x150, 4, "s_blocks_count_hi"),
    (0x154, 4, "s_r_blocks_count_hi"),
    (0x158, 4, "s_free_blocks_count_hi"),
    (0x15C, 2, "s_min_extra_isize"),
    (0x15E, 2, "s_want_extra_isize"),
    (0x160, 4, "s_flags"),
    (0x164, 16, "s_raid_stride to s_raid_stripe_width"),
    (0x174, 1, "s_log_groups_per_flex"),
    (0x175, 1, "s_checksum_type"),
    (0x176, 2, "s_encryption_level, s_reserved_pad"),
    (0x178, 8, "s_kbytes_written"),
    (0x180, 200, "s_snapshot_inum to s_grp_quota_inum"),
    (0x248, 4, "s_overhead_clusters"),
    (0x24C, 4, "s_backup_bgs[0]"),
    (0x250, 4, "s_backup_bgs[1]"),
    (0x254, 424, "s_encrypt_algos to s_reserved"),
    (0x3FC, 4, "s_checksum"),
];

const GROUP_DESCRIPTOR: &[Field] = &[
    (0x0, 4, "bg_block_bitmap_lo"),
    (0x4, 4, "bg_inode_bitmap_lo"),
    (0x8, 4, "bg_inode_table_lo"),
    (0xC, 2, "bg_free_blocks_count_lo"),
    (0xE, 2, "bg_free_inodes_count_lo"),
    (0x10, 2, "bg_used_dirs_count_lo"),
    (0x12, 2, "bg_flags"),
    (0x14, 4, "bg_exclude_bitmap_lo"),
    (0x18, 2, "bg_block_bitmap_csum_lo"),
    (0x1A, 2, "bg_inode_bitmap_csum_lo"),
    (0x1C, 2, "bg_itable_unused_lo"),
    (0x1E, 2, "bg_checksum"),
];

const INODE: &[Field] = &[
    (0x0, 2, "i_mode"),
    (0x2, 2, "i_uid"),
    (0x4, 4, "i_size_lo"),
    (0x8, 4, "i_atime"),
    (0xC, 4, "i_ctime"),
    (0x10, 4, "i_mtime"),
    (0x14, 4, "i_dtime"),
    (0x18, 2, "i_gid"),
    (0x1A, 2, "i_links_count"),
    (0x1C, 4, "i_blocks_lo"),
    (0x20, 4, "i_flags"),
    (0x24, 4, "l_i_version"),
    (0x28, 2, "i_block: eh_magic"),
    (0x2A, 2, "i_block: eh_entries"),
    (0x2C, 2, "i_block: eh_max"),
    (0x2E, 2, "i_block: eh_depth"),
    (0x30, 4, "i_block: eh_generation"),
    (0x34, 4, "i_block: [0].ee_block"),
    (0x38, 2, "i_block: [0].ee_len"),
    (0x3A, 2, "i_block: [0].ee_start_hi"),
    (0x3C, 4, "i_block: [0].ee_start_lo"),
    (0x40, 4, "i_block: [1].ee_block"),
    (0x44, 2, "i_block: [1].ee_len"),
    (0x46, 2, "i_block: [1].ee_start_hi"),
    (0x48, 4, "i_block: [1].ee_start_lo"),
    (0x4C, 24, "i_block: [2], [3]"),
    (0x64, 4, "i_generation"),
    (0x68, 4, "i_file_acl_lo"),
    (0x6C, 4, "i_size_high"),
    (0x70, 4, "i_obso_faddr"),
    (0x74, 2, "l_i_blocks_high"),
    (0x76, 2, "l_i_file_acl_high"),
    (0x78, 2, "l_i_uid_high"),
    (0x7A, 2, "l_i_gid_high"),
    (0x7C, 2, "l_i_checksum_lo"),
    (0x7E, 2, "l_i_reserved"),
    (0x80, 2, "i_extra_isize"),
    (0x82, 2, "i_checksum_hi"),
    (0x84, 4, "i_ctime_extra"),
    (0x88, 4, "i_mtime_extra"),
    (0x8C, 4, "i_atime_extra"),
    (0x90, 4, "i_crtime"),
    (0x94, 4, "i_crtime_extra"),
    (0x98, 4, "i_version_hi"),
    (0x9C, 4, "i_projid"),
    (0xA0, 96, "in-inode extended attributes"),
];

/// All fields that are not zero. Together, the fields cover every byte.
fn dump(fields: &[Field], bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut at = 0;
    for (offset, width, name) in fields {
        assert_eq!(*offset, at, "{name}");
        at += width;
        let field = &bytes[*offset..at];
        if field.iter().any(|byte| *byte != 0) {
            writeln!(text, "{offset:#05x} {name:24} {}", value(field)).unwrap();
        }
    }
    assert_eq!(at, bytes.len());
    text
}

fn value(field: &[u8]) -> String {
    let mut number = [0; 8];
    match number.get_mut(..field.len()) {
        Some(low) => {
            low.copy_from_slice(field);
            let number = u64::from_le_bytes(number);
            format!("{number} = {number:#x}")
        }
        None => field.escape_ascii().to_string(),
    }
}

fn small() -> Disk {
    let entries = vec![
        directory("empty", vec![]),
        file("file", (130 << 20) + 1).at((1 << 32) + 5),
        symlink("link", 60),
    ];
    Disk::new(directory("", entries), Options::default())
}

#[test]
fn the_superblock_of_a_small_image() {
    let block = small().block(BlockNr(0));
    insta::assert_snapshot!(dump(SUPERBLOCK, &block[1024..2048]), @r"
    0x000 s_inodes_count           16384 = 0x4000
    0x004 s_blocks_count_lo        65536 = 0x10000
    0x00c s_free_blocks_count_lo   31222 = 0x79f6
    0x010 s_free_inodes_count      16371 = 0x3ff3
    0x018 s_log_block_size         2 = 0x2
    0x01c s_log_cluster_size       2 = 0x2
    0x020 s_blocks_per_group       32768 = 0x8000
    0x024 s_clusters_per_group     32768 = 0x8000
    0x028 s_inodes_per_group       8192 = 0x2000
    0x030 s_wtime                  1700000000 = 0x6553f100
    0x036 s_max_mnt_count          65535 = 0xffff
    0x038 s_magic                  61267 = 0xef53
    0x03a s_state                  1 = 0x1
    0x03c s_errors                 1 = 0x1
    0x040 s_lastcheck              1700000000 = 0x6553f100
    0x04c s_rev_level              1 = 0x1
    0x054 s_first_ino              11 = 0xb
    0x058 s_inode_size             256 = 0x100
    0x05c s_feature_compat         520 = 0x208
    0x060 s_feature_incompat       578 = 0x242
    0x064 s_feature_ro_compat      1130 = 0x46a
    0x068 s_uuid                   ZZZZZZZZZZZZZZZZ
    0x078 s_volume_name            imagegen\x00\x00\x00\x00\x00\x00\x00\x00
    0x0ec s_hash_seed              \x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f
    0x0fc s_def_hash_version       1 = 0x1
    0x100 s_default_mount_opts     12 = 0xc
    0x108 s_mkfs_time              1700000000 = 0x6553f100
    0x15c s_min_extra_isize        32 = 0x20
    0x15e s_want_extra_isize       32 = 0x20
    0x160 s_flags                  1 = 0x1
    0x174 s_log_groups_per_flex    4 = 0x4
    0x175 s_checksum_type          1 = 0x1
    0x248 s_overhead_clusters      1030 = 0x406
    0x3fc s_checksum               4180916890 = 0xf933ba9a
    ");
}

#[test]
fn the_descriptors_of_a_small_image() {
    let block = small().block(BlockNr(1));
    insta::assert_snapshot!(dump(GROUP_DESCRIPTOR, &block[..32]), @r"
    0x000 bg_block_bitmap_lo       33798 = 0x8406
    0x004 bg_inode_bitmap_lo       33800 = 0x8408
    0x008 bg_inode_table_lo        2 = 0x2
    0x00e bg_free_inodes_count_lo  8179 = 0x1ff3
    0x010 bg_used_dirs_count_lo    2 = 0x2
    0x012 bg_flags                 4 = 0x4
    0x018 bg_block_bitmap_csum_lo  9710 = 0x25ee
    0x01a bg_inode_bitmap_csum_lo  47328 = 0xb8e0
    0x01c bg_itable_unused_lo      8179 = 0x1ff3
    0x01e bg_checksum              32770 = 0x8002
    ");
    insta::assert_snapshot!(dump(GROUP_DESCRIPTOR, &block[32..64]), @r"
    0x000 bg_block_bitmap_lo       33799 = 0x8407
    0x004 bg_inode_bitmap_lo       33801 = 0x8409
    0x008 bg_inode_table_lo        33802 = 0x840a
    0x00c bg_free_blocks_count_lo  31222 = 0x79f6
    0x00e bg_free_inodes_count_lo  8192 = 0x2000
    0x012 bg_flags                 5 = 0x5
    0x018 bg_block_bitmap_csum_lo  4627 = 0x1213
    0x01c bg_itable_unused_lo      8192 = 0x2000
    0x01e bg_checksum              3236 = 0xca4
    ");
}

#[test]
fn an_inode_of_a_small_image() {
    // Inode 12 in the table that begins at block 2.
    let block = small().block(BlockNr(2));
    insta::assert_snapshot!(dump(INODE, &block[11 * 256..12 * 256]), @r"
    0x000 i_mode                   33188 = 0x81a4
    0x002 i_uid                    4464 = 0x1170
    0x004 i_size_lo                136314881 = 0x8200001
    0x008 i_atime                  5 = 0x5
    0x00c i_ctime                  5 = 0x5
    0x010 i_mtime                  5 = 0x5
    0x018 i_gid                    100 = 0x64
    0x01a i_links_count            1 = 0x1
    0x01c i_blocks_lo              266248 = 0x41008
    0x020 i_flags                  524288 = 0x80000
    0x028 i_block: eh_magic        62218 = 0xf30a
    0x02a i_block: eh_entries      2 = 0x2
    0x02c i_block: eh_max          4 = 0x4
    0x038 i_block: [0].ee_len      32768 = 0x8000
    0x03c i_block: [0].ee_start_lo 517 = 0x205
    0x040 i_block: [1].ee_block    32768 = 0x8000
    0x044 i_block: [1].ee_len      513 = 0x201
    0x048 i_block: [1].ee_start_lo 33285 = 0x8205
    0x078 l_i_uid_high             1 = 0x1
    0x07c l_i_checksum_lo          50800 = 0xc670
    0x080 i_extra_isize            32 = 0x20
    0x082 i_checksum_hi            40910 = 0x9fce
    0x084 i_ctime_extra            1 = 0x1
    0x088 i_mtime_extra            1 = 0x1
    0x08c i_atime_extra            1 = 0x1
    0x090 i_crtime                 5 = 0x5
    0x094 i_crtime_extra           1 = 0x1
    ");
}
