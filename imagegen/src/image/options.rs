//! What may be asked of an image besides its commit.

use gix::bstr::BString;

/// How one commit is shown (DESIGN §3, the table of export options).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Options {
    /// What stands in `.git`.
    pub history: History,
    /// Owner of every inode; git refuses a work tree of another owner.
    pub uid: u32,
    /// Group of every inode.
    pub gid: u32,
    /// Bytes of free space, for a client that writes over block copy-on-write.
    pub free: u64,
    /// Only this directory of the tree, without `.git`; empty: the whole tree.
    pub path: BString,
}

/// What stands in `.git`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum History {
    /// Everything the snapshot holds.
    #[default]
    Full,
    /// There is no `.git`.
    None,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            history: History::Full,
            uid: 0,
            gid: 0,
            free: 0,
            path: BString::default(),
        }
    }
}

impl Options {
    /// Whether the image has a `.git`; a subtree never has.
    pub fn has_history(&self) -> bool {
        self.history == History::Full && self.path.is_empty()
    }
}
