//! The directory of one mountpoint in the state directory.
//!
//! ```text
//! STATE/places/KEY/  state.json      the record (`attachment_record`)
//!                    lock            held by the command that works on it
//!                    upper/ work/    directories of overlayfs, with --upper state
//!                    memory/         a tmpfs with upper/ and work/, with --upper tmpfs
//!                    blocks/         changed blocks, with --cow block
//! STATE/discarded/KEY/               what was discarded and is being removed
//! ```
//! KEY is derived from the mountpoint, so that changes are found again when the
//! same mountpoint is attached again.

use std::{
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::key::key;

/// The directory of all mountpoints, below the state directory.
pub(crate) const ATTACHMENTS: &str = "places";
/// What was discarded, below the state directory.
pub(crate) const DISCARDED: &str = "discarded";
/// The most bytes of the mountpoint's path in the key.
const MAX_WORDS_LEN: usize = 40;

/// The directory of one mountpoint in the state directory; it need not exist.
#[derive(Clone, Debug)]
pub(crate) struct AttachmentDir {
    state: PathBuf,
    key: String,
    mountpoint: PathBuf,
}

impl AttachmentDir {
    pub(crate) fn new(state: &Path, mountpoint: &Path) -> Self {
        let exact = mountpoint.as_os_str().as_bytes();
        let key = key(&mountpoint.to_string_lossy(), MAX_WORDS_LEN, exact);
        Self::with_key(state, &key, mountpoint)
    }

    /// The directory of a known name.
    pub(crate) fn with_key(state: &Path, key: &str, mountpoint: &Path) -> Self {
        Self {
            state: state.to_owned(),
            key: key.to_owned(),
            mountpoint: mountpoint.to_owned(),
        }
    }

    /// The record of a directory whose mountpoint is not known yet.
    pub(crate) fn record_file_of(state: &Path, key: &str) -> PathBuf {
        Self::with_key(state, key, Path::new("")).record_file()
    }

    /// The state directory.
    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.state.join(ATTACHMENTS).join(&self.key)
    }

    /// The name of the directory.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// A name of this mountpoint that no other state directory has.
    pub(crate) fn key_on_host(&self) -> String {
        let path = self.path();
        key(&self.key, MAX_WORDS_LEN, path.as_os_str().as_bytes())
    }

    pub(crate) fn mountpoint(&self) -> &Path {
        &self.mountpoint
    }

    pub(crate) fn record_file(&self) -> PathBuf {
        self.path().join("state.json")
    }

    pub(crate) fn lock_file(&self) -> PathBuf {
        self.path().join("lock")
    }

    /// Changed blocks of the disk.
    pub(crate) fn blocks(&self) -> PathBuf {
        self.path().join("blocks")
    }

    /// Where changes go that are discarded.
    pub(crate) fn discarded(&self) -> PathBuf {
        self.state.join(DISCARDED).join(&self.key)
    }

    /// The mountpoint of the tmpfs.
    pub(crate) fn tmpfs(&self) -> PathBuf {
        self.path().join("memory")
    }
}
