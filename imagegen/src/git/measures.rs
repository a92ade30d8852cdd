//! What conversions make of blobs, remembered for the next commit and, in a
//! file, for the next start of a server.

use std::{path::Path, sync::Mutex};

use gix::ObjectId;

use super::{
    byte_lru::ByteLru,
    filter::Measured,
    measure_file::{Entry, MeasureFile},
    sync::lock,
};
use crate::error::{Error, Result};

/// The memory that an entry takes, in bytes.
const ENTRY_BYTES: u64 = 128;

/// The file has at most this many times as many records as memory has entries:
/// it is written anew once in a while, and not for every image.
const FILE_TO_MEMORY: u64 = 2;

/// The most recently used measures, by [`Conversion::key`](super::Conversion::key).
#[derive(Debug)]
pub(super) struct Measures {
    known: Mutex<ByteLru<ObjectId, Known>>,
    file: Option<MeasureFile>,
}

/// A measure, and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) measured: Measured,
    /// Whether a file says so: then it is checked when the content is made.
    pub(super) from_file: bool,
}

impl Measures {
    /// Measures of up to `bytes` bytes of memory.
    pub(super) fn new(bytes: u64) -> Self {
        Self {
            known: Mutex::new(ByteLru::new(bytes)),
            file: None,
        }
    }

    /// Remembers the measures in the file at `path` too, and reads what is
    /// there already; with the reason why all or some of it is ignored.
    pub(super) fn in_file(bytes: u64, path: &Path) -> (Self, Option<Error>) {
        let mut measures = Self::new(bytes);
        let limit = bytes / ENTRY_BYTES * FILE_TO_MEMORY;
        let (file, ignored) = MeasureFile::open(path, limit, |(key, measured)| {
            measures.put(key, measured, true);
        });
        measures.file = Some(file);
        (measures, ignored)
    }

    pub(super) fn get(&self, key: &ObjectId) -> Option<Known> {
        lock(&self.known).get(key).copied()
    }

    fn put(&self, key: ObjectId, measured: Measured, from_file: bool) {
        let known = Known {
            measured,
            from_file,
        };
        lock(&self.known).put(key, known, ENTRY_BYTES);
    }

    /// Remembers new measures.
    ///
    /// # Errors
    ///
    /// [`Kind::Io`](crate::Kind::Io) if the file cannot be written; memory has
    /// them all the same.
    pub(super) fn remember(&self, entries: &[Entry]) -> Result<()> {
        for (key, measured) in entries {
            self.put(*key, *measured, false);
        }
        match &self.file {
            Some(file) if !entries.is_empty() => file.append(entries, || self.all()),
            _ => Ok(()),
        }
    }

    /// All measures in memory, the least recently used first.
    fn all(&self) -> Vec<Entry> {
        let known = lock(&self.known);
        known
            .iter()
            .map(|(key, known)| (*key, known.measured))
            .collect()
    }
}
