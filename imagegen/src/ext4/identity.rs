//! The identity and creation time of a file system, which its superblock and
//! journal record.

/// What distinguishes one file system from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// `s_uuid`, the seed of every [`Checksum`](super::Checksum).
    pub(crate) uuid: [u8; 16],
    /// `s_volume_name`, padded with zeroes.
    pub(crate) label: [u8; 16],
}

/// When the file system was created, last written and last checked, in seconds
/// since 1970. Constant, so that images are reproducible; not zero, which would
/// make e2fsck search for orphaned inodes; and in the past, since e2fsck
/// reports a last write in the future.
pub(super) const CREATED: u32 = 1_700_000_000;
