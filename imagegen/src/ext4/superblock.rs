//! The superblock (`Documentation/filesystems/ext4/super.rst`, `struct
//! ext4_super_block`).

use super::{
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
    FromZeros, Immutable, IntoBytes, Unaligned,
    little_endian::{U16, U32, U64},
    transmute,
};

/// `s_feature_compat`. `resize_inode`, room to grow the descriptor table, is
/// left out.
mod compat {
    /// Only with free space: a disk that is never written to needs no journal.
    pub(super) const HAS_JOURNAL: u32 = 0x4;
    /// Extended attributes, for clients that mount a copy read-write.
    pub(super) const EXT_ATTR: u32 = 0x8;
    /// Only where it is needed: with it the kernel reads even a directory of
    /// one block in hash order and without read-ahead, and a walk takes many
    /// times as long.
    pub(super) const DIR_INDEX: u32 = 0x20;
    /// With both `s_backup_bgs` 0: no backup superblocks.
    pub(super) const SPARSE_SUPER2: u32 = 0x200;
}

/// `s_feature_incompat`. `64bit`, which doubles the size of a descriptor, is
/// left out: only disks of 16 TiB and more need it.
mod incompat {
    /// `file_type` in directory entries.
    pub(super) const FILETYPE: u32 = 0x2;
    /// Files are mapped by extents.
    pub(super) const EXTENTS: u32 = 0x40;
    /// Bitmaps and inode tables may lie outside their group.
    pub(super) const FLEX_BG: u32 = 0x200;
}

/// `s_feature_ro_compat`. `sparse_super` is left out, since its backups would
/// interrupt the run of data blocks, and `uninit_bg`, which `metadata_csum`
/// replaces.
mod ro_compat {
    /// Files of 2 GiB and more.
    pub(super) const LARGE_FILE: u32 = 0x2;
    /// `i_blocks` of 48 bits.
    pub(super) const HUGE_FILE: u32 = 0x8;
    /// Directories of more than 65000 links have a count of 1.
    pub(super) const DIR_NLINK: u32 = 0x20;
    /// Inodes have fields beyond the first 128 bytes.
    pub(super) const EXTRA_ISIZE: u32 = 0x40;
    /// All metadata is checksummed, and groups may be uninitialized.
    pub(super) const METADATA_CSUM: u32 = 0x400;
}

/// `struct ext4_super_block`
#[derive(FromZeros, Immutable, IntoBytes, Unaligned)]
#[repr(C)]
struct Superblock {
    /// `s_inodes_count`
    inodes_count: U32,
    /// `s_blocks_count_lo`
    blocks_count: U32,
    /// `s_r_blocks_count_lo`
    reserved_blocks_count: U32,
    /// `s_free_blocks_count_lo`
    free_blocks_count: U32,
    /// `s_free_inodes_count`
    free_inodes_count: U32,
    /// `s_first_data_block`
    first_data_block: U32,
    /// `s_log_block_size`
    log_block_size: U32,
    /// `s_log_cluster_size`
    log_cluster_size: U32,
    /// `s_blocks_per_group`
    blocks_per_group: U32,
    /// `s_clusters_per_group`
    clusters_per_group: U32,
    /// `s_inodes_per_group`
    inodes_per_group: U32,
    /// `s_mtime`
    mount_time: U32,
    /// `s_wtime`
    write_time: U32,
    /// `s_mnt_count`
    mount_count: U16,
    /// `s_max_mnt_count`
    max_mount_count: U16,
    /// `s_magic`
    magic: U16,
    /// `s_state`
    state: U16,
    /// `s_errors`
    errors: U16,
    /// `s_minor_rev_level`
    minor_rev_level: U16,
    /// `s_lastcheck`
    last_check: U32,
    /// `s_checkinterval`
    check_interval: U32,
    /// `s_creator_os`
    creator_os: U32,
    /// `s_rev_level`
    rev_level: U32,
    /// `s_def_resuid`
    reserved_uid: U16,
    /// `s_def_resgid`
    reserved_gid: U16,
    /// `s_first_ino`
    first_inode: U32,
    /// `s_inode_size`
    inode_size: U16,
    /// `s_block_group_nr`
    block_group_nr: U16,
    /// `s_feature_compat`
    feature_compat: U32,
    /// `s_feature_incompat`
    feature_incompat: U32,
    /// `s_feature_ro_compat`
    feature_ro_compat: U32,
    /// `s_uuid`
    uuid: [u8; 16],
    /// `s_volume_name`
    volume_name: [u8; 16],
    /// `s_last_mounted` to `s_journal_uuid`: no preallocation, no reserved
    /// descriptors, no external journal.
    unused_0x88: [u8; 0x58],
    /// `s_journal_inum`
    journal_inode: U32,
    /// `s_journal_dev`, `s_last_orphan`
    unused_0xe4: [u8; 8],
    /// `s_hash_seed`
    hash_seed: [U32; 4],
    /// `s_def_hash_version`
    hash_version: u8,
    /// `s_jnl_backup_type`
    journal_backup_type: u8,
    /// `s_desc_size`
    descriptor_size: U16,
    /// `s_default_mount_opts`
    default_mount_options: U32,
    /// `s_first_meta_bg`
    first_meta_group: U32,
    /// `s_mkfs_time`
    mkfs_time: U32,
    /// `s_jnl_blocks[0..15]`: a copy of the journal inode's `i_block`.
    journal_extents: [u8; 60],
    /// `s_jnl_blocks[15..17]`: a copy of its size, the high half first.
    journal_size: [U32; 2],
    /// `s_blocks_count_hi` to `s_free_blocks_count_hi`: only with `64bit`.
    unused_0x150: [u8; 0xC],
    /// `s_min_extra_isize`
    min_extra_isize: U16,
    /// `s_want_extra_isize`
    want_extra_isize: U16,
    /// `s_flags`
    flags: U32,
    /// `s_raid_stride` to `s_raid_stripe_width`
    unused_0x164: [u8; 0x10],
    /// `s_log_groups_per_flex`
    log_groups_per_flex: u8,
    /// `s_checksum_type`
    checksum_type: u8,
    /// `s_encryption_level`, `s_reserved_pad`
    unused_0x176: [u8; 2],
    /// `s_kbytes_written`
    kbytes_written: U64,
    /// `s_snapshot_inum` to `s_grp_quota_inum`: no errors recorded.
    unused_0x180: [u8; 0xC8],
    /// `s_overhead_clusters`
    overhead_clusters: U32,
    /// `s_backup_bgs`
    backup_groups: [U32; 2],
    /// `s_encrypt_algos` to `s_reserved`
    unused_0x254: [u8; 0x1A8],
    /// `s_checksum`
    checksum: U32,
}

/// Block 0. The first 1024 bytes are reserved for boot loaders.
#[derive(FromZeros, Immutable, IntoBytes, Unaligned)]
#[repr(C)]
struct FirstBlock {
    boot: [u8; 1024],
    superblock: Superblock,
    rest: [u8; BLOCK_SIZE - 2048],
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
    fn set_constants(&mut self) {
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
        self.inodes_count = U32::new(layout.inode_count());
        self.free_inodes_count = U32::new(layout.inode_count() - layout.last_inode().get());
        self.blocks_count = U32::new(exact(layout.block_count()));
        self.free_blocks_count = U32::new(exact(free_blocks));
        self.overhead_clusters = U32::new(exact(layout.overhead()));
        self.log_groups_per_flex = log_groups_per_flex(layout.group_count());
        let dir_index = if layout.dir_index() {
            compat::DIR_INDEX
        } else {
            0
        };
        self.feature_compat = U32::new(compat::EXT_ATTR | compat::SPARSE_SUPER2 | dir_index);
        self.feature_incompat =
            U32::new(incompat::FILETYPE | incompat::EXTENTS | incompat::FLEX_BG);
        self.feature_ro_compat = U32::new(
            ro_compat::LARGE_FILE
                | ro_compat::HUGE_FILE
                | ro_compat::DIR_NLINK
                | ro_compat::EXTRA_ISIZE
                | ro_compat::METADATA_CSUM,
        );
    }

    fn set_journal(&mut self, layout: &Layout) {
        let blocks = layout.journal();
        let count = blocks.end - blocks.start;
        if count == 0 {
            return;
        }
        self.feature_compat |= compat::HAS_JOURNAL;
        self.journal_inode = U32::new(journal::INODE.get());
        // EXT3_JNL_BACKUP_BLOCKS
        self.journal_backup_type = 1;
        self.journal_extents = extent::root(BlockNr(blocks.start), count, BlockNr(0));
        let size = count * BLOCK_BYTES;
        self.journal_size = [U32::new(high_u32(size)), U32::new(low_u32(size))];
    }

    /// Sets the checksum over all fields before it.
    fn seal(&mut self) {
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
