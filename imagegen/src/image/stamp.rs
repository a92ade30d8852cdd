//! What all inodes of an image have in common.

use super::file_time::FileTime;

/// Owner, group and time of every inode. Images of one commit that differ in
/// nothing else share their plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stamp {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// `st_mtime` of every file but the index.
    pub(super) mtime: FileTime,
}
