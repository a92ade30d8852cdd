//! Reading git: repositories, objects, snapshots, and the synthesized `.git`.
//!
//! What lies in a repository was written by somebody else. Nothing here
//! panics, loops or allocates because of it: every length is checked before it
//! is believed, every blob and tree against its object id before it is used.
//!
//! ```text
//! Repository ──► Objects ──► store/ (packs, loose objects)   commit, tree, blob
//!     │             └──────► Cache, Spool                    by bytes, shared
//!     └──► SnapshotStore ──► Snapshot ──► Objects            what `.git` shows
//! ```

#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod attributes;
mod blob;
mod byte_lru;
mod cache;
mod commit;
pub mod dotgit;
mod filter;
mod flight;
mod listing;
mod object_hash;
mod objects;
mod prefetch;
mod refs;
mod repository;
mod snapshot;
mod spool;
mod store;
mod sync;
#[cfg(test)]
mod tests;
mod tree;
#[cfg(test)]
mod vanilla;
mod width;

pub use attributes::Attributes;
pub use blob::{Blob, Spooled};
pub use cache::Cache;
pub use commit::Commit;
pub use filter::Conversion;
pub use gix::ObjectId;
pub use listing::{Entry, EntryMode, Listing};
pub use objects::Objects;
pub use refs::{Ref, Refs};
pub use repository::Repository;
pub use snapshot::{Snapshot, SnapshotFile, SnapshotId, SnapshotStore};

/// Reads the bytes of a tree, all of whose blobs are empty. For the fuzzer,
/// to which the parser is the border to other people's bytes.
#[doc(hidden)]
pub fn parse_tree(id: &ObjectId, bytes: &[u8]) -> crate::Result<Listing> {
    tree::parse(id, bytes, |_| Ok(0))
}
