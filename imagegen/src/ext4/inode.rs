//! Inodes (`Documentation/filesystems/ext4/inodes.rst`, `struct ext4_inode`).

use super::{
    checksum::Checksum,
    extent,
    numbers::{
        BLOCK_BYTES, BlockNr, EXTRA_ISIZE, INODE_SIZE, InodeNr, high_u16, high_u32, low_u16,
        low_u32,
    },
    time::Timestamp,
};
use zerocopy::{
    FromZeros, Immutable, IntoBytes, Unaligned,
    little_endian::{U16, U32},
    transmute,
};

/// `i_mode`: file type and permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(pub u16);

impl Mode {
    /// A regular file, `rw-r--r--`.
    pub const FILE: Self = Self(0o100_644);
    /// A regular file, `rw-------`.
    pub const PRIVATE: Self = Self(0o100_600);
    /// A regular file, `rwxr-xr-x`.
    pub const EXECUTABLE: Self = Self(0o100_755);
    /// A directory, `rwxr-xr-x`.
    pub const DIRECTORY: Self = Self(0o040_755);
    /// A symlink, `rwxrwxrwx`.
    pub const SYMLINK: Self = Self(0o120_777);
}

/// Where the contents of an inode are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// In the inode: the target of a symlink of less than 60 bytes.
    Inline(&'a [u8]),
    /// In blocks that lie in a row; none for an empty file.
    Blocks {
        /// The first of them.
        start: BlockNr,
        /// How many, [`extent::MAX_BLOCKS`] at most.
        count: u64,
        /// The first of its extent leaves, which lie in a row too; of no
        /// meaning when it needs none.
        leaves: BlockNr,
    },
}

/// A file, directory or symlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inode<'a> {
    /// `i_mode`
    pub mode: Mode,
    /// `i_uid`
    pub uid: u32,
    /// `i_gid`
    pub gid: u32,
    /// `i_size` in bytes; of a directory, that of its blocks.
    pub size: u64,
    /// `i_links_count`: 1, for a directory 2 and its subdirectories.
    pub links: u32,
    /// Every time it has, in seconds since 1970.
    pub seconds: i64,
    /// Its contents.
    pub body: Body<'a>,
    /// Whether it is a directory with an index, see
    /// [`Packing::is_indexed`](super::Packing::is_indexed).
    pub indexed: bool,
}

/// `EXT4_INDEX_FL`
const INDEX_FL: u32 = 0x1000;
/// `EXT4_EXTENTS_FL`
const EXTENTS_FL: u32 = 0x8_0000;
/// `EXT4_LINK_MAX`. A directory with more links has 1, as `dir_nlink` allows.
const LINK_MAX: u32 = 65000;
/// The unit of `i_blocks`.
const SECTORS_PER_BLOCK: u64 = BLOCK_BYTES / 512;

/// `struct ext4_inode`, with all the space its table gives it.
#[derive(FromZeros, Immutable, IntoBytes, Unaligned)]
#[repr(C)]
struct RawInode {
    /// `i_mode`
    mode: U16,
    /// `i_uid`
    uid_low: U16,
    /// `i_size_lo`
    size_low: U32,
    /// `i_atime`
    access_time: U32,
    /// `i_ctime`
    change_time: U32,
    /// `i_mtime`
    modification_time: U32,
    /// `i_dtime`
    deletion_time: U32,
    /// `i_gid`
    gid_low: U16,
    /// `i_links_count`
    links_count: U16,
    /// `i_blocks_lo`
    sectors_low: U32,
    /// `i_flags`
    flags: U32,
    /// `l_i_version`
    version: U32,
    /// `i_block`
    block: [u8; 60],
    /// `i_generation`
    generation: U32,
    /// `i_file_acl_lo`
    file_acl: U32,
    /// `i_size_high`
    size_high: U32,
    /// `i_obso_faddr`
    fragment: U32,
    /// `l_i_blocks_high`
    sectors_high: U16,
    /// `l_i_file_acl_high`
    file_acl_high: U16,
    /// `l_i_uid_high`
    uid_high: U16,
    /// `l_i_gid_high`
    gid_high: U16,
    /// `l_i_checksum_lo`
    checksum_low: U16,
    /// `l_i_reserved`
    reserved: U16,
    /// `i_extra_isize`
    extra_isize: U16,
    /// `i_checksum_hi`
    checksum_high: U16,
    /// `i_ctime_extra`
    change_time_extra: U32,
    /// `i_mtime_extra`
    modification_time_extra: U32,
    /// `i_atime_extra`
    access_time_extra: U32,
    /// `i_crtime`
    creation_time: U32,
    /// `i_crtime_extra`
    creation_time_extra: U32,
    /// `i_version_hi`
    version_high: U32,
    /// `i_projid`
    project: U32,
    /// Room for extended attributes.
    behind: [u8; 96],
}

impl Inode<'_> {
    /// The 256 bytes of the inode table.
    pub fn encode(&self, nr: InodeNr, checksum: &Checksum) -> [u8; INODE_SIZE] {
        let mut raw = RawInode::new_zeroed();
        raw.mode = U16::new(self.mode.0);
        raw.uid_low = U16::new(low_u16(self.uid));
        raw.uid_high = U16::new(high_u16(self.uid));
        raw.gid_low = U16::new(low_u16(self.gid));
        raw.gid_high = U16::new(high_u16(self.gid));
        raw.size_low = U32::new(low_u32(self.size));
        raw.size_high = U32::new(high_u32(self.size));
        raw.links_count = U16::new(links_count(self.links));
        raw.extra_isize = U16::new(EXTRA_ISIZE);
        raw.set_times(Timestamp::new(self.seconds));
        raw.set_body(&self.body);
        if self.indexed {
            raw.flags |= INDEX_FL;
        }
        let sum = checksum.inode(nr).of(raw.as_bytes());
        raw.checksum_low = U16::new(low_u16(sum));
        raw.checksum_high = U16::new(high_u16(sum));
        transmute!(raw)
    }
}

/// The 256 bytes of a reserved inode without use: 1 and 3 to 10. It has no
/// extra fields, so only the low half of its checksum has a place.
pub fn reserved(nr: InodeNr, checksum: &Checksum) -> [u8; INODE_SIZE] {
    let mut raw = RawInode::new_zeroed();
    raw.checksum_low = U16::new(low_u16(checksum.inode(nr).of(raw.as_bytes())));
    transmute!(raw)
}

impl RawInode {
    fn set_times(&mut self, Timestamp { base, extra }: Timestamp) {
        self.access_time = U32::new(base);
        self.change_time = self.access_time;
        self.modification_time = self.access_time;
        self.creation_time = self.access_time;
        self.access_time_extra = U32::new(extra);
        self.change_time_extra = self.access_time_extra;
        self.modification_time_extra = self.access_time_extra;
        self.creation_time_extra = self.access_time_extra;
    }

    fn set_body(&mut self, body: &Body<'_>) {
        match *body {
            Body::Inline(target) => {
                for (byte, from) in self.block.iter_mut().zip(target) {
                    *byte = *from;
                }
            }
            Body::Blocks {
                start,
                count,
                leaves,
            } => {
                let sectors = count
                    .saturating_add(extent::leaf_count(count))
                    .saturating_mul(SECTORS_PER_BLOCK);
                self.sectors_low = U32::new(low_u32(sectors));
                self.sectors_high = U16::new(low_u16(high_u32(sectors)));
                self.flags |= EXTENTS_FL;
                self.block = extent::root(start, count, leaves);
            }
        }
    }
}

fn links_count(links: u32) -> u16 {
    low_u16(if links > LINK_MAX { 1 } else { links })
}
