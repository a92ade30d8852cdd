//! The options of an image.

use gix::bstr::BString;

use super::file_time::FileTime;
use crate::git::dotgit::index::Version as IndexVersion;

/// How a commit is shown. The default is the whole tree with its history, owned
/// by root, with a detached HEAD and the time of the commit, without free space.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    /// Whether the image has a `.git`.
    pub history: History,
    /// The owner of every inode. git refuses to work in a tree of another
    /// owner.
    pub uid: u32,
    /// The group of every inode.
    pub gid: u32,
    /// The least free space of the file system in bytes, for clients that mount
    /// the image read-write over block-level copy-on-write. The file system
    /// gets at least one free inode per 16 KiB of it, and a journal. 0 is a
    /// file system without a free block.
    pub free: u64,
    /// When all files were last modified; `None`: at the time of the commit,
    /// but not before [`FileTime::FIRST_OF_ZIP`].
    pub mtime: Option<FileTime>,
    /// The branch that HEAD is on, without `refs/heads/`; `None`: HEAD is
    /// detached at the commit. It need not exist in the repository.
    pub head: Option<BString>,
    /// The version of `.git/index`.
    pub index: IndexVersion,
    /// Whether `.git/index` says that every file and directory is known, for a
    /// git that asks a `core.fsmonitor` what has changed since. Without one, git
    /// looks at all of them and writes the index anew. It has version 2 then.
    pub fsmonitor: bool,
    /// With [`fsmonitor`](Self::fsmonitor): where the work tree is mounted, an
    /// absolute path. Mounted elsewhere, git lists its directories itself once.
    pub worktree: BString,
    /// The directory of the commit that becomes the root of the image, which
    /// then has no `.git`. Empty for the whole tree.
    pub path: BString,
}

/// Whether an image has a `.git`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum History {
    /// `.git` with all objects and refs of the snapshot.
    #[default]
    Full,
    /// `.git` with what can be reached from the commit, and the refs of that.
    Reachable,
    /// No `.git`.
    None,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            history: History::Full,
            uid: 0,
            gid: 0,
            free: 0,
            mtime: None,
            head: None,
            index: IndexVersion::default(),
            fsmonitor: false,
            worktree: Self::WORKTREE.into(),
            path: BString::default(),
        }
    }
}

impl Options {
    /// The default of [`Options::worktree`].
    pub const WORKTREE: &'static str = "/workspace";

    /// Whether the image has a `.git`; one of a subtree never has.
    pub fn has_history(&self) -> bool {
        self.history != History::None && self.path.is_empty()
    }
}
