//! What is told of the cache.

use serde::{Deserialize, Serialize};

/// The local block cache.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheStatus {
    /// Where it stands.
    pub state: Hydration,
    /// Reads that needed no server,
    pub hits: u64,
    /// and reads that did.
    pub misses: u64,
    /// What the cache takes on the disk.
    pub bytes: u64,
    /// Bytes of data that are here,
    pub hydrated: u64,
    /// of so many.
    pub of: u64,
    /// Why it does not go on.
    pub reason: Option<String>,
}

/// How far the hydration is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hydration {
    /// It goes on in the background.
    #[default]
    Hydrating,
    /// All is here: no server is needed any more.
    Hydrated,
    /// All is here but what no server can read.
    Incomplete,
    /// The cache could not be written, and is gone.
    Failed,
}
