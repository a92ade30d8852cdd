//! Recognizing a superblock that was written here, in bytes of others.
//!
//! The few numbers that differ from disk to disk are taken from the bytes, each if it
//! may be so; the superblock is written once more with them, and compared. So a field
//! that nobody thought of is a difference, too.

use std::{mem::offset_of, ops::RangeInclusive};

use zerocopy::{FromBytes, FromZeros, IntoBytes, little_endian::U32};

use super::{
    features::{compat, incompat, names, ro_compat},
    format::{FirstBlock, Superblock},
};
use crate::{
    ext4::{
        layout::MAX_GROUPS,
        numbers::{BLOCK_BYTES, BLOCK_SIZE, BLOCKS_PER_GROUP, BlockNr},
    },
    numbers::exact,
};

/// What may have happened to a disk since it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Nothing.
    New,
    /// It was mounted for writing, and may not have been unmounted: times, counts,
    /// and the kernel's notes of errors are others.
    Written,
}

/// The blocks of the shortest and of the longest journal.
const JOURNAL_BLOCKS: RangeInclusive<u64> = 1024..=32768;

/// Checks that block 0 of a disk of `size` bytes is one that is written here; an error
/// says which field is not.
pub(crate) fn recognize(block: &[u8; BLOCK_SIZE], size: u64, since: Use) -> Result<(), String> {
    let first = FirstBlock::ref_from_bytes(block).expect("it has the size of a block");
    let found = &first.superblock;
    if found.magic.get() != 0xEF53 {
        return Err("it has no superblock of ext4".to_owned());
    }
    check_features(found, since)?;
    let groups = groups(size)?;
    let mut expected = Superblock::new(groups);
    expected.accept_counts(found)?;
    expected.accept_identity(found)?;
    expected.accept_journal(found)?;
    if since == Use::Written {
        expected.accept_writes(found);
    }
    expected.seal();
    if let Some(name) = difference(expected.as_bytes(), found.as_bytes()) {
        return Err(format!("its {name} is not as it is written"));
    }
    let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    if !is_zero(&first.boot) || !is_zero(&first.rest) {
        return Err("its first block holds more than the superblock".to_owned());
    }
    Ok(())
}

fn check_features(found: &Superblock, since: Use) -> Result<(), String> {
    let optional = compat::HAS_JOURNAL | compat::DIR_INDEX;
    let recover = if since == Use::Written {
        incompat::RECOVER
    } else {
        0
    };
    let words = [
        (
            "s_feature_compat",
            found.feature_compat,
            compat::ALWAYS,
            optional,
            compat::NAMES,
        ),
        (
            "s_feature_incompat",
            found.feature_incompat,
            incompat::ALWAYS,
            recover,
            incompat::NAMES,
        ),
        (
            "s_feature_ro_compat",
            found.feature_ro_compat,
            ro_compat::ALWAYS,
            0,
            ro_compat::NAMES,
        ),
    ];
    for (name, word, always, optional, table) in words {
        let word = word.get();
        let (foreign, missing) = (word & !(always | optional), always & !word);
        if foreign != 0 {
            return Err(format!("its {name} has {}", names(foreign, table)));
        }
        if missing != 0 {
            return Err(format!("its {name} lacks {}", names(missing, table)));
        }
    }
    Ok(())
}

/// The number of block groups of a disk.
fn groups(size: u64) -> Result<u32, String> {
    let group = BLOCKS_PER_GROUP * BLOCK_BYTES;
    let groups = size / group;
    if !size.is_multiple_of(group) || groups == 0 || groups > MAX_GROUPS {
        return Err(format!("its {size} bytes are no whole block groups"));
    }
    Ok(exact(groups))
}

impl Superblock {
    /// One with all that follows from the number of groups.
    fn new(groups: u32) -> Self {
        let mut superblock = Self::new_zeroed();
        superblock.set_constants();
        superblock.set_group_count(groups);
        superblock.set_features(false);
        superblock
    }

    fn accept_counts(&mut self, found: &Self) -> Result<(), String> {
        let within = |name: &str, count: U32, most: U32| {
            if count.get() < most.get() {
                return Ok(count);
            }
            Err(format!("its {name} is {count}, of {most}"))
        };
        let (blocks, inodes) = (self.blocks_count, self.inodes_count);
        self.free_blocks_count = within("s_free_blocks_count", found.free_blocks_count, blocks)?;
        self.free_inodes_count = within("s_free_inodes_count", found.free_inodes_count, inodes)?;
        self.overhead_clusters = within("s_overhead_clusters", found.overhead_clusters, blocks)?;
        self.feature_compat |= found.feature_compat & compat::DIR_INDEX;
        Ok(())
    }

    /// The UUID is a hash (version 8 of RFC 9562), the label begins a commit id.
    fn accept_identity(&mut self, found: &Self) -> Result<(), String> {
        if found.uuid[6] & 0xf0 != 0x80 || found.uuid[8] & 0xc0 != 0x80 {
            return Err("its s_uuid is no hash of what the disk holds".to_owned());
        }
        let is_id = |byte: &u8| matches!(byte, 0 | b'0'..=b'9' | b'a'..=b'f');
        if !found.volume_name.iter().all(is_id) {
            return Err("its s_volume_name is no commit id".to_owned());
        }
        (self.uuid, self.volume_name) = (found.uuid, found.volume_name);
        Ok(())
    }

    /// Where a journal is, is in the bytes; what the superblock says of it follows.
    fn accept_journal(&mut self, found: &Self) -> Result<(), String> {
        if found.feature_compat.get() & compat::HAS_JOURNAL == 0 {
            return Ok(());
        }
        let [high, low] = found.journal_size.map(|half| u64::from(half.get()));
        let count = (high << 32 | low) / BLOCK_BYTES;
        // `ee_start_lo` of the first extent (ext4_extent), behind the header.
        let start = U32::read_from_bytes(&found.journal_extents[20..24]);
        let start = u64::from(start.expect("it has four bytes").get());
        let is_within = start + count <= u64::from(self.blocks_count.get());
        if !JOURNAL_BLOCKS.contains(&count) || !is_within {
            return Err(format!("its s_jnl_blocks are {count} blocks at {start}"));
        }
        self.set_journal_at(BlockNr(start), count);
        Ok(())
    }

    /// What the kernel and e2fsck write into the superblock of a disk that is mounted
    /// for writing.
    fn accept_writes(&mut self, found: &Self) {
        self.feature_incompat |= found.feature_incompat & incompat::RECOVER;
        self.mount_time = found.mount_time;
        self.write_time = found.write_time;
        self.mount_count = found.mount_count;
        self.state = found.state;
        self.last_check = found.last_check;
        self.last_mounted = found.last_mounted;
        self.last_orphan = found.last_orphan;
        self.kbytes_written = found.kbytes_written;
        self.error_notes = found.error_notes;
        self.high_times = found.high_times;
    }
}

/// The name of the first field that differs.
fn difference(expected: &[u8], found: &[u8]) -> Option<&'static str> {
    let at = expected
        .iter()
        .zip(found)
        .position(|(one, two)| one != two)?;
    let fields = FIELDS.iter().take_while(|(offset, _)| *offset <= at);
    Some(fields.last().map_or("superblock", |(_, name)| *name))
}

/// Where fields begin; those between two entries belong to the first.
const FIELDS: &[(usize, &str)] = &[
    (offset_of!(Superblock, inodes_count), "s_inodes_count"),
    (offset_of!(Superblock, blocks_count), "s_blocks_count"),
    (
        offset_of!(Superblock, reserved_blocks_count),
        "s_r_blocks_count",
    ),
    (
        offset_of!(Superblock, free_blocks_count),
        "s_free_blocks_count",
    ),
    (
        offset_of!(Superblock, first_data_block),
        "s_first_data_block",
    ),
    (offset_of!(Superblock, log_block_size), "s_log_block_size"),
    (
        offset_of!(Superblock, log_cluster_size),
        "s_log_cluster_size",
    ),
    (
        offset_of!(Superblock, blocks_per_group),
        "s_blocks_per_group",
    ),
    (
        offset_of!(Superblock, clusters_per_group),
        "s_clusters_per_group",
    ),
    (
        offset_of!(Superblock, inodes_per_group),
        "s_inodes_per_group",
    ),
    (offset_of!(Superblock, mount_time), "s_mtime"),
    (offset_of!(Superblock, mount_count), "s_mnt_count"),
    (offset_of!(Superblock, magic), "s_magic"),
    (offset_of!(Superblock, state), "s_state"),
    (offset_of!(Superblock, errors), "s_errors"),
    (offset_of!(Superblock, minor_rev_level), "s_minor_rev_level"),
    (offset_of!(Superblock, last_check), "s_lastcheck"),
    (offset_of!(Superblock, creator_os), "s_creator_os"),
    (offset_of!(Superblock, rev_level), "s_rev_level"),
    (offset_of!(Superblock, reserved_uid), "s_def_resuid"),
    (offset_of!(Superblock, first_inode), "s_first_ino"),
    (offset_of!(Superblock, inode_size), "s_inode_size"),
    (offset_of!(Superblock, block_group_nr), "s_block_group_nr"),
    (offset_of!(Superblock, feature_compat), "s_feature_compat"),
    (
        offset_of!(Superblock, feature_incompat),
        "s_feature_incompat",
    ),
    (
        offset_of!(Superblock, feature_ro_compat),
        "s_feature_ro_compat",
    ),
    (offset_of!(Superblock, uuid), "s_uuid"),
    (offset_of!(Superblock, volume_name), "s_volume_name"),
    (offset_of!(Superblock, last_mounted), "s_last_mounted"),
    (
        offset_of!(Superblock, unused_0xc8),
        "s_algorithm_usage_bitmap",
    ),
    (offset_of!(Superblock, journal_inode), "s_journal_inum"),
    (offset_of!(Superblock, journal_device), "s_journal_dev"),
    (offset_of!(Superblock, last_orphan), "s_last_orphan"),
    (offset_of!(Superblock, hash_seed), "s_hash_seed"),
    (offset_of!(Superblock, hash_version), "s_def_hash_version"),
    (
        offset_of!(Superblock, journal_backup_type),
        "s_jnl_backup_type",
    ),
    (offset_of!(Superblock, descriptor_size), "s_desc_size"),
    (
        offset_of!(Superblock, default_mount_options),
        "s_default_mount_opts",
    ),
    (offset_of!(Superblock, first_meta_group), "s_first_meta_bg"),
    (offset_of!(Superblock, mkfs_time), "s_mkfs_time"),
    (offset_of!(Superblock, journal_extents), "s_jnl_blocks"),
    (offset_of!(Superblock, unused_0x150), "s_blocks_count_hi"),
    (offset_of!(Superblock, min_extra_isize), "s_min_extra_isize"),
    (
        offset_of!(Superblock, want_extra_isize),
        "s_want_extra_isize",
    ),
    (offset_of!(Superblock, flags), "s_flags"),
    (offset_of!(Superblock, unused_0x164), "s_raid_stride"),
    (
        offset_of!(Superblock, log_groups_per_flex),
        "s_log_groups_per_flex",
    ),
    (offset_of!(Superblock, checksum_type), "s_checksum_type"),
    (offset_of!(Superblock, unused_0x176), "s_encryption_level"),
    (offset_of!(Superblock, kbytes_written), "s_kbytes_written"),
    (offset_of!(Superblock, unused_0x180), "s_snapshot_inum"),
    (offset_of!(Superblock, error_notes), "s_error_count"),
    (offset_of!(Superblock, mount_options), "s_mount_opts"),
    (offset_of!(Superblock, quota_inodes), "s_usr_quota_inum"),
    (
        offset_of!(Superblock, overhead_clusters),
        "s_overhead_clusters",
    ),
    (offset_of!(Superblock, backup_groups), "s_backup_bgs"),
    (offset_of!(Superblock, unused_0x254), "s_encrypt_algos"),
    (offset_of!(Superblock, high_times), "s_wtime_hi"),
    (offset_of!(Superblock, unused_0x27c), "s_encoding"),
    (offset_of!(Superblock, checksum), "s_checksum"),
];
