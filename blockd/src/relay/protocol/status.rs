//! The status of a relay: whoever connects to the status socket reads one JSON
//! document.

use std::fmt;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// The number of the document's format, raised when a field is renamed or
/// removed, or when its meaning changes.
///
/// A relay lives on when the program is replaced, so every release reads the
/// documents of the release before: those without a number have the fields of
/// format 1. And the release before reads ours, so far as fields keep names.
const FORMAT: u32 = 1;

/// The status of a relay since its start. No field has a default, not even the
/// optional ones: a document without one of them is an error, and never a zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The canonical name of the export.
    pub export: String,
    /// Bytes of the disk.
    pub size: u64,
    /// The relay's process.
    pub pid: u32,
    /// When it started, in seconds since 1970.
    pub since: u64,
    /// Its servers, in the order in which they were given.
    pub upstreams: Vec<UpstreamStatus>,
    /// Reads that a server answered, those ahead of a request among them.
    pub reads: u64,
    /// Bytes of these reads.
    pub bytes: u64,
    /// Reads that failed.
    pub errors: u64,
    /// Reads that wait for a server now.
    pub in_flight: u64,
    /// Reads that were sent again because a connection was lost.
    pub replayed: u64,
    /// How often a server was connected again.
    pub reconnects: u64,
    /// How long the reads took, in microseconds.
    pub latency_us: Latency,
    /// What was read ahead of requests.
    pub ahead: AheadStatus,
    /// The local cache; `None` before hydration is requested.
    #[serde(deserialize_with = "Option::deserialize")]
    pub cache: Option<CacheStatus>,
    /// The changed blocks; `None` of a read-only disk.
    #[serde(deserialize_with = "Option::deserialize")]
    pub changed: Option<ChangedStatus>,
}

/// One server of a relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamStatus {
    /// Its URI, with the canonical name of the export.
    pub uri: String,
    /// Whether it is connected.
    pub state: UpstreamState,
    /// Open connections.
    pub connections: usize,
    /// What is wrong with it, or was the last time.
    #[serde(deserialize_with = "Option::deserialize")]
    pub reason: Option<String>,
}

/// The state of the connections to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamState {
    /// At least one is open.
    Connected,
    /// The first attempt has not ended.
    Connecting,
    /// The server shows another disk, or refuses the export.
    Refused,
    /// The server cannot be reached.
    Down,
}

impl fmt::Display for UpstreamState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connected => "connected",
            Self::Connecting => "connecting",
            Self::Refused => "refused",
            Self::Down => "down",
        })
    }
}

/// Quantiles of the time that reads took, in microseconds. They are upper
/// bounds, less than a fourth too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// The median.
    pub p50: u64,
    /// The 95th percentile.
    pub p95: u64,
    /// The longest.
    pub max: u64,
}

/// What was read ahead of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AheadStatus {
    /// Bytes that were read ahead.
    pub bytes: u64,
    /// Bytes of these that were requested since.
    pub used: u64,
}

/// The local cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheStatus {
    /// The state of the hydration.
    pub state: Hydration,
    /// Reads that the cache answered.
    pub hits: u64,
    /// Reads that at least a part of had to come from a server.
    pub misses: u64,
    /// Bytes that the cache's file takes on its file system.
    pub bytes: u64,
    /// Bytes of the disk's data that are cached.
    pub hydrated: u64,
    /// Bytes of the disk's data.
    pub of: u64,
    /// Why the hydration is incomplete or has failed.
    #[serde(deserialize_with = "Option::deserialize")]
    pub reason: Option<String>,
}

/// The state of a hydration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hydration {
    /// It goes on in the background.
    Hydrating,
    /// All data is cached: no server is needed any more.
    Hydrated,
    /// All data is cached that the servers can read.
    Incomplete,
    /// The cache could not be read or written, and was given up.
    Failed,
}

/// The blocks that were written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedStatus {
    /// Blocks of 4 KiB, those that are zeroes among them.
    pub blocks: u64,
    /// Bytes of the blocks that are not zeroes.
    pub bytes: u64,
}

/// The status as it is written. The number stands beside the fields, where
/// the release without one passes over it.
#[derive(Serialize)]
struct Document<'a> {
    format: u32,
    #[serde(flatten)]
    status: &'a Status,
}

/// What is read of a document before it is known which fields it has.
#[derive(Deserialize)]
struct Head {
    format: Option<u32>,
}

impl Status {
    /// The JSON document that the status socket answers with.
    pub(crate) fn to_document(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&Document {
            format: FORMAT,
            status: self,
        })
    }

    /// Reads the document of a relay of this release or of the one before.
    ///
    /// # Errors
    ///
    /// It has the format of another release, or lacks a field.
    pub(crate) fn from_document(document: &[u8]) -> Result<Self> {
        let not_a_status = "the relay's status cannot be read";
        let head: Head = serde_json::from_slice(document).context(not_a_status)?;
        match head.format {
            None | Some(FORMAT) => serde_json::from_slice(document).context(not_a_status),
            Some(format) => bail!(
                "the relay writes its status in format {format}, and this blockd reads {FORMAT}: \
                 ask with the blockd that attached it, or detach and attach again"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Captured from a relay of the last release that wrote no number.
    const WITHOUT_FORMAT: &str = include_str!("status_without_format.json");

    #[test]
    fn a_status_is_read_back_as_it_was_written() {
        let status = Status::from_document(WITHOUT_FORMAT.as_bytes()).unwrap();
        let document = status.to_document().unwrap();
        assert_eq!(Status::from_document(&document).unwrap(), status);
    }

    #[test]
    fn the_status_of_the_release_before_is_read() {
        let status = Status::from_document(WITHOUT_FORMAT.as_bytes()).unwrap();
        assert_eq!((status.reads, status.bytes), (64, 9_175_040));
        assert_eq!(status.latency_us.p95, 20_364);
        let upstreams = status.upstreams.iter().map(|upstream| upstream.state);
        let upstreams: Vec<_> = upstreams.collect();
        assert_eq!(upstreams, [UpstreamState::Connected, UpstreamState::Down]);
        let cache = status.cache.unwrap();
        assert_eq!((cache.state, cache.of), (Hydration::Hydrated, 8_388_608));
        assert_eq!(status.changed.unwrap().blocks, 0);
    }

    /// That release passes over fields that it does not know, and takes every
    /// field that is missing for zero.
    #[test]
    fn the_release_before_reads_ours() {
        let before: Value = serde_json::from_str(WITHOUT_FORMAT).unwrap();
        let status = Status::from_document(WITHOUT_FORMAT.as_bytes()).unwrap();
        let mut ours: Value = serde_json::from_slice(&status.to_document().unwrap()).unwrap();
        let format = ours.as_object_mut().unwrap().remove("format");
        assert_eq!(format, Some(json!(FORMAT)));
        assert_eq!(ours, before);
    }

    #[test]
    fn a_format_that_is_not_known_is_refused() {
        let mut document: Value = serde_json::from_str(WITHOUT_FORMAT).unwrap();
        document["format"] = json!(FORMAT + 1);
        document.as_object_mut().unwrap().remove("reads");
        let error = Status::from_document(document.to_string().as_bytes()).unwrap_err();
        assert!(error.to_string().contains("in format 2"), "{error}");
    }

    #[test]
    fn a_field_that_is_missing_is_an_error_and_no_zero() {
        let document: Value = serde_json::from_str(WITHOUT_FORMAT).unwrap();
        let names: Vec<_> = document.as_object().unwrap().keys().collect();
        for name in names {
            let mut document = document.clone();
            document.as_object_mut().unwrap().remove(name);
            let read = Status::from_document(document.to_string().as_bytes());
            let error = format!("{:#}", read.unwrap_err());
            assert!(
                error.contains(&format!("missing field `{name}`")),
                "{error}"
            );
        }
    }
}
