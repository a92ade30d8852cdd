//! What was detached last on this host, for the time of the files that are
//! attached next.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
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

    /// The last detach, and when it was; `None` when there was none.
    ///
    /// # Errors
    ///
    /// When the record cannot be read.
    pub(crate) fn load(state: &Path) -> Result<Option<(Self, SystemTime)>> {
        let path = file(state);
        let Some(record) = directory::read::<Self>(&path)? else {
            return Ok(None);
        };
        let modified = path.metadata().and_then(|metadata| metadata.modified());
        let modified = modified.with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Some((record, modified)).filter(|(record, _)| record.format == FORMAT))
    }
}

fn file(state: &Path) -> PathBuf {
    state.join("last-detach.json")
}
