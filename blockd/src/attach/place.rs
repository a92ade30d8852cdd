//! Where an attachment keeps what is its own.
//!
//! ```text
//! STATE/places/KEY/  state.json  lock
//!                    upper/ work/    the diff
//!                    memory/         a tmpfs with upper/ and work/ in it, by --upper tmpfs
//!                    blocks/         changed blocks, by --cow block
//! ```
//! The key comes from the mountpoint, so that a diff is found again there.

use std::{
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::key::key;

/// Below the state directory.
pub(super) const PLACES: &str = "places";
/// Of a mountpoint's words in the key.
const LONGEST: usize = 40;

/// The directory of one mountpoint.
#[derive(Clone, Debug)]
pub(super) struct Place {
    state: PathBuf,
    directory: PathBuf,
    mountpoint: PathBuf,
}

impl Place {
    pub(super) fn new(state: &Path, mountpoint: &Path) -> Self {
        let exact = mountpoint.as_os_str().as_bytes();
        let key = key(&mountpoint.to_string_lossy(), LONGEST, exact);
        Self::with_key(state, &key, mountpoint)
    }

    /// A place by the name of its directory.
    pub(super) fn with_key(state: &Path, key: &str, mountpoint: &Path) -> Self {
        Self {
            state: state.to_owned(),
            directory: state.join(PLACES).join(key),
            mountpoint: mountpoint.to_owned(),
        }
    }

    /// The state directory that this is a part of.
    pub(super) fn state(&self) -> &Path {
        &self.state
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The name of the directory.
    pub(super) fn key(&self) -> &std::ffi::OsStr {
        self.directory.file_name().unwrap_or_default()
    }

    pub(super) fn mountpoint(&self) -> &Path {
        &self.mountpoint
    }

    pub(super) fn state_file(&self) -> PathBuf {
        self.directory.join("state.json")
    }

    pub(super) fn lock_file(&self) -> PathBuf {
        self.directory.join("lock")
    }

    pub(super) fn blocks(&self) -> PathBuf {
        self.directory.join("blocks")
    }

    pub(super) fn memory(&self) -> PathBuf {
        self.directory.join("memory")
    }
}
