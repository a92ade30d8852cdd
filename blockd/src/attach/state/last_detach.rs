//! What was detached last on this host, for the time of the files that are
//! attached next.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::directory;

/// The number of the format. A record of another one is not read: it would be
/// out of date within seconds.
const FORMAT: u32 = 1;

/// The last detach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LastDetach {
    format: u32,
    /// Where it was attached.
    pub(crate) mountpoint: PathBuf,
    /// Canonical name of the export.
    pub(crate) export: String,
}

impl LastDetach {
    pub(crate) fn new(mountpoint: &Path, export: &str) -> Self {
        Self {
            format: FORMAT,
            mountpoint: mountpoint.to_owned(),
            export: export.to_owned(),
        }
    }

    /// Writes the record over that of the detach before.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(crate) fn save(&self, state: &Path) -> Result<()> {
        directory::write(&file(state), self)
    }

    /// The last detach, if it was less than `age` ago or the clock was set back
    /// since. A record of another format is passed over with a warning.
    ///
    /// # Errors
    ///
    /// When the file cannot be looked at.
    pub(crate) fn within(age: Duration, state: &Path) -> Result<Option<Self>> {
        let path = file(state);
        let modified = match path.metadata().and_then(|metadata| metadata.modified()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            modified => modified.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let passed = SystemTime::now().duration_since(modified);
        if passed.is_ok_and(|passed| passed > age) {
            return Ok(None);
        }
        match directory::read::<Self>(&path) {
            Ok(Some(record)) if record.format != FORMAT => {
                tracing::warn!("{} has another format: passed over", path.display());
                Ok(None)
            }
            Err(error) => {
                tracing::warn!("passed over: {error:#}");
                Ok(None)
            }
            read => read,
        }
    }
}

fn file(state: &Path) -> PathBuf {
    state.join("last-detach.json")
}
