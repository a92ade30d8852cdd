//! The superblock as it is written.

use super::features::{compat, incompat, ro_compat};
use crate::ext4::{
    checksum::Crc,
    extent,
    hash::SEED,
    identity::{CREATED, Identity},
    journal,
    layout::Layout,
    numbers::{
        BLOCK_BYTES, BLOCK_SIZE, BLOCKS_PER_GROUP, Block, BlockNr, EXTRA_ISIZE, INODE_BYTES,
        INODES_PER_GROUP, InodeNr, high_u32, low_u32,
    },
};
use crate::numbers::exact;
use zerocopy::{
    FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U16, U32, U64},
    transmute,
};

/// `struct ext4_super_block`
#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Superblock {
    /// `s_inodes_count`
    pub(super) inodes_count: U32,
    /// `s_blocks_count_lo`
    pub(super) blocks_count: U32,
    /// `s_r_blocks_count_lo`
    pub(super) reserved_blocks_count: U32,
    /// `s_free_blocks_count_lo`
    pub(super) free_blocks_count: U32,
    /// `s_free_inodes_count`
    pub(super) free_inodes_count: U32,
    /// `s_first_data_block`
    pub(super) first_data_block: U32,
    /// `s_log_block_size`
    pub(super) log_block_size: U32,
    /// `s_log_cluster_size`
    pub(super) log_cluster_size: U32,
    /// `s_blocks_per_group`
    pub(super) blocks_per_group: U32,
    /// `s_clusters_per_group`
    pub(super) clusters_per_group: U32,
    /// `s_inodes_per_group`
    pub(super) inodes_per_group: U32,
    /// `s_mtime`
    pub(super) mount_time: U32,
    /// `s_wtime`
    pub(super) write_time: U32,
    /// `s_mnt_count`
    pub(super) mount_count: U16,
    /// `s_max_mnt_count`
    pub(super) max_mount_count: U16,
    /// `s_magic`
    pub(super) magic: U16,
    /// `s_state`
    pub(super) state: U16,
    /// `s_errors`
    pub(super) errors: U16,
    /// `s_minor_rev_level`
    pub(super) minor_rev_level: U16,
    /// `s_lastcheck`
    pub(super) last_check: U32,
    /// `s_checkinterval`
    pub(super) check_interval: U32,
    /// `s_creator_os`
    pub(super) creator_os: U32,
    /// `s_rev_level`
    pub(super) rev_level: U32,
    /// `s_def_resuid`
    pub(super) reserved_uid: U16,
    /// `s_def_resgid`
    pub(super) reserved_gid: U16,
    /// `s_first_ino`
    pub(super) first_inode: U32,
    /// `s_inode_size`
    pub(super) inode_size: U16,
    /// `s_block_group_nr`
    pub(super) block_group_nr: U16,
    /// `s_feature_compat`
    pub(super) feature_compat: U32,
    /// `s_feature_incompat`
    pub(super) feature_incompat: U32,
    /// `s_feature_ro_compat`
    pub(super) feature_ro_compat: U32,
    /// `s_uuid`
    pub(super) uuid: [u8; 16],
    /// `s_volume_name`
    pub(super) volume_name: [u8; 16],
    /// `s_last_mounted`
    pub(super) last_mounted: [u8; 0x40],
    /// `s_algorithm_usage_bitmap` to `s_journal_uuid`: no preallocation, no
    /// reserved descriptors, no external journal.
    pub(super) unused_0xc8: [u8; 0x18],
    /// `s_journal_inum`
    pub(super) journal_inode: U32,
    /// `s_journal_dev`
    pub(super) journal_device: U32,
    /// `s_last_orphan`
    pub(super) last_orphan: U32,
    /// `s_hash_seed`
    pub(super) hash_seed: [U32; 4],
    /// `s_def_hash_version`
    pub(super) hash_version: u8,
    /// `s_jnl_backup_type`
    pub(super) journal_backup_type: u8,
    /// `s_desc_size`
    pub(super) descriptor_size: U16,
    /// `s_default_mount_opts`
    pub(super) default_mount_options: U32,
    /// `s_first_meta_bg`
    pub(super) first_meta_group: U32,
    /// `s_mkfs_time`
    pub(super) mkfs_time: U32,
    /// `s_jnl_blocks[0..15]`: a copy of the journal inode's `i_block`.
    pub(super) journal_extents: [u8; 60],
    /// `s_jnl_blocks[15..17]`: a copy of its size, the high half first.
    pub(super) journal_size: [U32; 2],
    /// `s_blocks_count_hi` to `s_free_blocks_count_hi`: only with `64bit`.
    pub(super) unused_0x150: [u8; 0xC],
    /// `s_min_extra_isize`
    pub(super) min_extra_isize: U16,
    /// `s_want_extra_isize`
    pub(super) want_extra_isize: U16,
    /// `s_flags`
    pub(super) flags: U32,
    /// `s_raid_stride` to `s_raid_stripe_width`
    pub(super) unused_0x164: [u8; 0x10],
    /// `s_log_groups_per_flex`
    pub(super) log_groups_per_flex: u8,
    /// `s_checksum_type`
    pub(super) checksum_type: u8,
    /// `s_encryption_level`, `s_reserved_pad`
    pub(super) unused_0x176: [u8; 2],
    /// `s_kbytes_written`
    pub(super) kbytes_written: U64,
    /// `s_snapshot_inum` to `s_snapshot_list`
    pub(super) unused_0x180: [u8; 0x14],
    /// `s_error_count` to `s_last_error_func`: no errors recorded.
    pub(super) error_notes: [u8; 0x6C],
    /// `s_mount_opts`: options that the kernel takes as if they were given.
    pub(super) mount_options: [u8; 0x40],
    /// `s_usr_quota_inum`, `s_grp_quota_inum`
    pub(super) quota_inodes: [U32; 2],
    /// `s_overhead_clusters`
    pub(super) overhead_clusters: U32,
    /// `s_backup_bgs`
    pub(super) backup_groups: [U32; 2],
    /// `s_encrypt_algos` to `s_checksum_seed`
    pub(super) unused_0x254: [u8; 0x20],
    /// `s_wtime_hi` to `s_last_error_errcode`
    pub(super) high_times: [u8; 8],
    /// `s_encoding` to `s_reserved`
    pub(super) unused_0x27c: [u8; 0x180],
    /// `s_checksum`
    pub(super) checksum: U32,
}

/// Block 0. The first 1024 bytes are reserved for boot loaders.
#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct FirstBlock {
    pub(super) boot: [u8; 1024],
    pub(super) superblock: Superblock,
    pub(super) rest: [u8; BLOCK_SIZE - 2048],
}

/// The bytes of block 0, which holds the superblock at offset 1024.
pub(crate) fn superblock(layout: &Layout, identity: &Identity) -> Block {
    let mut superblock = Superblock::new_zeroed();
    superblock.set_constants();
    superblock.set_sizes(layout);
    superblock.set_journal(layout);
    superblock.uuid = identity.uuid;
    superblock.volume_name = identity.label;
    superblock.seal();
    let boot = [0; _];
    let rest = [0; _];
    transmute!(FirstBlock {
        boot,
        superblock,
        rest
    })
}

impl Superblock {
    pub(super) fn set_constants(&mut self) {
        self.log_block_size = U32::new(2);
        self.log_cluster_size = U32::new(2);
        self.blocks_per_group = U32::new(exact(BLOCKS_PER_GROUP));
        self.clusters_per_group = self.blocks_per_group;
        self.inodes_per_group = U32::new(INODES_PER_GROUP);
        self.write_time = U32::new(CREATED);
        self.last_check = self.write_time;
        self.mkfs_time = self.write_time;
        // No check is due because of age or mount count.
        self.max_mount_count = U16::new(0xFFFF);
        self.magic = U16::new(0xEF53);
        // EXT4_VALID_FS, EXT4_ERRORS_CONTINUE, EXT4_DYNAMIC_REV
        self.state = U16::new(1);
        self.errors = U16::new(1);
        self.rev_level = U32::new(1);
        self.first_inode = U32::new(InodeNr::FIRST.get());
        self.inode_size = U16::new(INODE_BYTES);
        self.min_extra_isize = U16::new(EXTRA_ISIZE);
        self.want_extra_isize = self.min_extra_isize;
        // DX_HASH_HALF_MD4, with EXT2_FLAGS_SIGNED_HASH on every machine.
        self.hash_seed = SEED.map(U32::new);
        self.hash_version = 1;
        self.flags = U32::new(1);
        // EXT4_DEFM_XATTR_USER and EXT4_DEFM_ACL, the kernel's own defaults.
        self.default_mount_options = U32::new(0xC);
        // CRC32C
        self.checksum_type = 1;
    }

    fn set_sizes(&mut self, layout: &Layout) {
        let free_blocks = layout.block_count() - layout.used_blocks();
        self.set_group_count(layout.group_count());
        self.free_inodes_count = U32::new(layout.inode_count() - layout.last_inode().get());
        self.free_blocks_count = U32::new(exact(free_blocks));
        self.overhead_clusters = U32::new(exact(layout.overhead()));
        self.set_features(layout.dir_index());
    }

    pub(super) fn set_group_count(&mut self, groups: u32) {
        self.inodes_count = U32::new(groups * INODES_PER_GROUP);
        self.blocks_count = U32::new(exact(u64::from(groups) * BLOCKS_PER_GROUP));
        self.log_groups_per_flex = log_groups_per_flex(groups);
    }

    pub(super) fn set_features(&mut self, dir_index: bool) {
        let dir_index = if dir_index { compat::DIR_INDEX } else { 0 };
        self.feature_compat = U32::new(compat::ALWAYS | dir_index);
        self.feature_incompat = U32::new(incompat::ALWAYS);
        self.feature_ro_compat = U32::new(ro_compat::ALWAYS);
    }

    fn set_journal(&mut self, layout: &Layout) {
        let blocks = layout.journal();
        let count = blocks.end - blocks.start;
        if count > 0 {
            self.set_journal_at(BlockNr(blocks.start), count);
        }
    }

    pub(super) fn set_journal_at(&mut self, start: BlockNr, count: u64) {
        self.feature_compat |= compat::HAS_JOURNAL;
        self.journal_inode = U32::new(journal::INODE.get());
        // EXT3_JNL_BACKUP_BLOCKS
        self.journal_backup_type = 1;
        self.journal_extents = extent::root(start, count, BlockNr(0));
        let size = count * BLOCK_BYTES;
        self.journal_size = [U32::new(high_u32(size)), U32::new(low_u32(size))];
    }

    /// Sets the checksum over all fields before it.
    pub(super) fn seal(&mut self) {
        let covered = size_of::<Self>() - size_of::<U32>();
        let sum = Crc::START.update(&self.as_bytes()[..covered]);
        self.checksum = U32::new(sum.value());
    }
}

/// `s_log_groups_per_flex` for one flexible group over the whole disk. The
/// kernel refuses 32 and more; a disk of 16 TiB has 17.
fn log_groups_per_flex(groups: u32) -> u8 {
    exact(groups.next_power_of_two().ilog2().max(4))
}
