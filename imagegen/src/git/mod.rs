//! Reading git repositories: objects, refs, attributes, snapshots, and the
//! files of a synthesized `.git`.
//!
//! ```text
//! Repository ──► Objects ──► store/ (packs, loose objects)   commit, tree, blob
//!     │             └──────► Cache, Spool                    bounded by bytes, shared
//!     └──► SnapshotStore ──► Snapshot ──► Objects            what `.git` shows
//! ```
//!
//! The content of a repository is untrusted. It causes neither panics nor
//! endless loops nor allocations without bound: a length is checked before it is
//! used, and commits, trees and blobs are verified against their object id.

#![warn(clippy::indexing_slicing)]

mod admission;
mod admitted;
mod attributes;
mod blob;
mod byte_lru;
mod cache;
mod commit;
mod counted;
pub(crate) mod dotgit;
mod filter;
mod format;
mod hidden;
mod listing;
mod mapping;
mod measure_all;
mod measure_file;
mod measures;
mod object_hash;
mod objects;
mod open_files;
mod origin_url;
mod prefetch;
mod private;
mod reachable;
mod refs;
mod repository;
mod resolve;
mod revision;
mod single_flight;
mod snapshot;
mod spool;
mod store;
mod sync;
#[cfg(test)]
mod tests;
mod tree;
mod tree_names;
#[cfg(test)]
mod vanilla;
mod wall;

pub use attributes::Attributes;
pub use blob::{Blob, Spooled};
pub use cache::{Cache, SPOOL_LIMIT};
pub use commit::Commit;
pub use filter::{Conversion, Measured};
pub use gix::{ObjectId, bstr::BString};
pub use hidden::HiddenRefs;
pub use listing::{Entry, EntryMode, Listing};
pub use mapping::damaged_maps;
pub use measure_all::{Job, MeasuredAll};
pub use objects::Objects;
pub use private::state_directory;
pub use reachable::Bounds;
pub(crate) use refs::{Ref, Refs};
pub use repository::{Repository, is_branch_name};
pub use resolve::Resolved;
pub use snapshot::{Forget, Forgotten, Snapshot, SnapshotId, SnapshotStore};
pub use wall::Wall;

/// Parses a tree whose blobs are all empty. For the fuzz targets only.
#[doc(hidden)]
pub fn parse_tree(id: &ObjectId, bytes: &[u8]) -> crate::Result<Listing> {
    tree::parse(id, bytes, |_| Ok(0))
}
