//! Snapshots: the packs, loose objects and refs that an image shows in `.git`.
//!
//! A repack removes packs, so an image needs its own set of them. A snapshot is
//! a directory of hard links to the files of a repository, named by a hash over
//! its content: a repack or gc of the repository does not affect it.

mod bound;
mod commit_graph;
mod directory;
mod expire;
mod file;
mod forget;
mod id;
mod identity;
mod link;
mod manifest;
mod multi_pack_index;
mod reachable;
mod store;
mod survey;

pub(crate) use self::file::SnapshotFile;
pub use self::{
    directory::Snapshot,
    forget::{Forget, Forgotten},
    id::SnapshotId,
    store::SnapshotStore,
};
