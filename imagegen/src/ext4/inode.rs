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
use crate::numbers::exact;
use zerocopy::{
    FromZeros, Immutable, IntoBytes, Unaligned,
    little_endian::{U16, U32},
    transmute,
};

/// `i_mode`: file type and permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mode(pub(crate) u16);

impl Mode {
    /// A regular file, `rw-r--r--`.
    pub(crate) const FILE: Self = Self(0o100_644);
    /// A regular file, `rw-------`.
    pub(crate) const PRIVATE: Self = Self(0o100_600);
    /// A regular file, `rwxr-xr-x`.
    pub(crate) const EXECUTABLE: Self = Self(0o100_755);
    /// A directory, `rwxr-xr-x`.
    pub(crate) const DIRECTORY: Self = Self(0o040_755);
    /// A symlink, `rwxrwxrwx`.
    pub(crate) const SYMLINK: Self = Self(0o120_777);
}

/// Where the content of an inode is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body<'a> {
    /// In `i_block`: the target of a symlink of less than 60 bytes.
    Inline(&'a [u8]),
    /// In contiguous blocks; none for an empty file.
    Blocks {
        /// The first block.
        start: BlockNr,
        /// The number of blocks, at most [`extent::MAX_BLOCKS`].
        count: u64,
        /// The first extent leaf, the others follow it; ignored when the file
        /// needs none (see [`extent::leaf_count`]).
        leaves: BlockNr,
    },
}

/// A time of an inode, since 1970; clamped to the years 1901 to 2446, which is
/// what ext4 can represent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time {
    pub(crate) seconds: i64,
    /// Less than 1,000,000,000.
    pub(crate) nanoseconds: u32,
}

impl From<Time> for Timestamp {
    fn from(time: Time) -> Self {
        Self::new(time.seconds, time.nanoseconds)
    }
}

/// A file, directory or symlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inode<'a> {
    /// `i_mode`
    pub(crate) mode: Mode,
    /// `i_uid`
    pub(crate) uid: u32,
    /// `i_gid`
    pub(crate) gid: u32,
    /// `i_size` in bytes; of a directory, the length of its blocks.
    pub(crate) size: u64,
    /// `i_links_count`: 1, for a directory 2 plus the number of its
    /// subdirectories.
    pub(crate) links: u32,
    /// `i_mtime` and `i_atime`
    pub(crate) modified: Time,
    /// `i_ctime` and `i_crtime`
    pub(crate) changed: Time,
    /// Where its content is stored.
    pub(crate) body: Body<'a>,
    /// Whether it is a directory with an index (see
    /// [`Packing::is_indexed`](super::Packing::is_indexed)).
    pub(crate) indexed: bool,
}

/// `EXT4_INDEX_FL`
const INDEX_FL: u32 = 0x1000;
/// `EXT4_EXTENTS_FL`
const EXTENTS_FL: u32 = 0x8_0000;
/// `EXT4_LINK_MAX`. A directory with more links has a count of 1, as
/// `dir_nlink` allows.
const LINK_MAX: u32 = 65000;
/// The unit of `i_blocks`.
const SECTORS_PER_BLOCK: u64 = BLOCK_BYTES / 512;

/// `struct ext4_inode` and the rest of its slot in the inode table.
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
    /// Space for in-inode extended attributes.
    attributes: [u8; 96],
}

impl Inode<'_> {
    /// The bytes of the inode in the inode table.
    ///
    /// # Panics
    ///
    /// If the body is longer than an inode can describe.
    pub(crate) fn encode(&self, nr: InodeNr, checksum: Checksum) -> [u8; INODE_SIZE] {
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
        raw.set_times(self.modified.into(), self.changed.into());
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

/// The bytes of an unused reserved inode: 1, and 3 to 10. Without
/// `i_extra_isize` only the low half of the checksum is stored.
pub(crate) fn reserved(nr: InodeNr, checksum: Checksum) -> [u8; INODE_SIZE] {
    let mut raw = RawInode::new_zeroed();
    raw.checksum_low = U16::new(low_u16(checksum.inode(nr).of(raw.as_bytes())));
    transmute!(raw)
}

impl RawInode {
    fn set_times(&mut self, modified: Timestamp, changed: Timestamp) {
        self.modification_time = U32::new(modified.base);
        self.modification_time_extra = U32::new(modified.extra);
        self.access_time = self.modification_time;
        self.access_time_extra = self.modification_time_extra;
        self.change_time = U32::new(changed.base);
        self.change_time_extra = U32::new(changed.extra);
        self.creation_time = self.change_time;
        self.creation_time_extra = self.change_time_extra;
    }

    fn set_body(&mut self, body: &Body<'_>) {
        match *body {
            Body::Inline(target) => self.block[..target.len()].copy_from_slice(target),
            Body::Blocks {
                start,
                count,
                leaves,
            } => {
                self.flags |= EXTENTS_FL;
                self.block = extent::root(start, count, leaves);
                let sectors = (count + extent::leaf_count(count)) * SECTORS_PER_BLOCK;
                self.sectors_low = U32::new(low_u32(sectors));
                self.sectors_high = U16::new(exact(high_u32(sectors)));
            }
        }
    }
}

fn links_count(links: u32) -> u16 {
    exact(if links > LINK_MAX { 1 } else { links })
}
