//! What `blockd detach` reports.

use std::{fmt, path::PathBuf};

use blockd_nbd::printable;
use serde::Serialize;

use crate::attach::{layers::holders::Holder, state::upper_kind::UpperKind};

/// What was detached.
#[derive(Clone, Debug, Serialize)]
pub struct DetachReport {
    /// Where it was mounted.
    pub mountpoint: PathBuf,
    /// Canonical name of the export; `None` if nothing was attached.
    pub export: Option<String>,
    /// Canonical name of the export that kept changes were made to.
    #[serde(rename = "diff")]
    pub changes: Option<String>,
    /// Where changes are kept.
    pub upper: Option<UpperKind>,
    /// The processes that went on after a lazy detach.
    pub holders: Vec<Holder>,
    /// The device is still in use, and is removed after its last user.
    #[serde(rename = "settling")]
    pub is_device_in_use: bool,
}

impl DetachReport {
    /// Nothing was attached.
    pub(super) fn nothing(mountpoint: PathBuf) -> Self {
        Self {
            mountpoint,
            export: None,
            changes: None,
            upper: None,
            holders: Vec::new(),
            is_device_in_use: false,
        }
    }
}

impl fmt::Display for DetachReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mountpoint = self.mountpoint.display();
        match &self.export {
            Some(export) => write!(f, "detached {} from {mountpoint}", printable(export))?,
            None => write!(f, "nothing is attached at {mountpoint}")?,
        }
        if let (Some(export), Some(upper)) = (&self.changes, &self.upper) {
            let until = match upper {
                UpperKind::State | UpperKind::Block => "",
                UpperKind::Tmpfs { .. } => " in memory until the next reboot",
                UpperKind::Volatile => ", but were made with --volatile and are not synced",
            };
            write!(
                f,
                "\nchanges to {} are kept{until} (--discard removes them)",
                printable(export)
            )?;
        }
        for holder in &self.holders {
            write!(f, "\nstill inside: {holder}")?;
        }
        if self.is_device_in_use {
            write!(
                f,
                "\nthe device is still in use; it is removed after its last user"
            )?;
        }
        Ok(())
    }
}
