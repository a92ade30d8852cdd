//! The options of a catalog.

use std::{path::PathBuf, time::Duration};

use imagegen::git::SPOOL_LIMIT;

use super::{plans::Bound, repos::Access, revision::RevisionLimits};

/// Where the repositories and the server's own state are, and how much memory
/// its caches use.
#[derive(Clone, Debug)]
pub struct CatalogOptions {
    /// A repository, or a directory of repositories.
    pub repos: PathBuf,
    /// What they may show.
    pub access: Access,
    /// The file that says who may open what; without it, whoever connects may open
    /// everything.
    pub access_file: Option<PathBuf>,
    /// The state directory: snapshots, spooled blobs, and the lengths of
    /// converted files.
    pub state: PathBuf,
    /// Bytes of memory for cached blobs and listings.
    pub cache: usize,
    /// How much of the history a revision may make the server walk.
    pub revisions: RevisionLimits,
    /// What `history=reachable` may take.
    pub reachable: ReachableLimits,
    /// The bytes of `.gitattributes` that may be in force for a file.
    pub attribute_bytes: u64,
    /// Bytes of memory for plans: in use, kept, and being made.
    pub plans: Bound,
    /// The bytes of the files that one image converts, each before or after, whichever
    /// is more.
    pub converted_bytes: u64,
    /// The same of all images in use.
    pub all_converted: Bound,
    /// Bytes of blobs that are too large for memory, in temporary files.
    pub spool_bytes: u64,
    /// Bytes that snapshots may hold that nobody else does.
    pub snapshot_bytes: u64,
}

impl CatalogOptions {
    /// The bytes of `--spool`.
    pub const SPOOL_BYTES: u64 = SPOOL_LIMIT;
}

/// What making the pack of such an image may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReachableLimits {
    /// Bytes of the pack.
    pub bytes: u64,
    /// How long it may take.
    pub time: Duration,
}

impl ReachableLimits {
    /// Of whoever pays for it himself.
    pub const NONE: Self = Self {
        bytes: u64::MAX,
        time: Duration::MAX,
    };
}
