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

use crate::attach::state::key::key;

/// Below the state directory.
pub(crate) const PLACES: &str = "places";
/// Of a mountpoint's words in the key.
const LONGEST: usize = 40;

/// The directory of one mountpoint.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    state: PathBuf,
    directory: PathBuf,
    mountpoint: PathBuf,
}

impl Place {
    pub(crate) fn new(state: &Path, mountpoint: &Path) -> Self {
        let exact = mountpoint.as_os_str().as_bytes();
        let key = key(&mountpoint.to_string_lossy(), LONGEST, exact);
        Self::with_key(state, &key, mountpoint)
    }

    /// A place by the name of its directory.
    pub(crate) fn with_key(state: &Path, key: &str, mountpoint: &Path) -> Self {
        Self {
            state: state.to_owned(),
            directory: state.join(PLACES).join(key),
            mountpoint: mountpoint.to_owned(),
        }
    }

    /// The state directory that this is a part of.
    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The name of the directory.
    pub(crate) fn key(&self) -> &std::ffi::OsStr {
        self.directory.file_name().unwrap_or_default()
    }

    pub(crate) fn mountpoint(&self) -> &Path {
        &self.mountpoint
    }

    pub(crate) fn state_file(&self) -> PathBuf {
        self.directory.join("state.json")
    }

    pub(crate) fn lock_file(&self) -> PathBuf {
        self.directory.join("lock")
    }

    pub(crate) fn blocks(&self) -> PathBuf {
        self.directory.join("blocks")
    }

    pub(crate) fn memory(&self) -> PathBuf {
        self.directory.join("memory")
    }
}
