//! What `blockd status` reports.

use std::path::PathBuf;

use serde::Serialize;

use super::relay::RelayStatus;
use crate::attach::{
    commands::export_name::ExportName,
    state::{upper_kind::UpperKind, via::Via},
};

/// All attachments, and mountpoints for which changes are kept.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StatusReport {
    /// Sorted by mountpoint.
    pub attachments: Vec<AttachmentStatus>,
    /// For each record that cannot be read, the reason.
    pub unreadable: Vec<String>,
}

/// One mountpoint.
#[derive(Clone, Debug, Serialize)]
pub struct AttachmentStatus {
    /// The mountpoint.
    pub mountpoint: PathBuf,
    /// Whether it is mounted.
    pub state: AttachState,
    /// Canonical name of the export.
    pub export: String,
    /// The commit that it shows, if the name has one.
    pub commit: Option<String>,
    /// The block device.
    pub device: Option<PathBuf>,
    /// The kind of block device.
    pub via: Option<Via>,
    /// The number of other attachments that use the same device.
    pub shared_with: usize,
    /// The relay, which reads from the servers.
    pub relay: Option<RelayStatus>,
    /// What was changed.
    #[serde(rename = "diff")]
    pub changes: Option<ChangesStatus>,
}

/// Whether an attachment is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttachState {
    /// It is mounted.
    Attached,
    /// It is not: an attach or detach was killed, or another program unmounted it.
    Broken,
    /// It was detached lazily, and processes may still use it.
    Lingering,
    /// It was detached, and its changes are kept.
    Detached,
}

/// The changes at a mountpoint.
#[derive(Clone, Debug, Serialize)]
pub struct ChangesStatus {
    /// Canonical name of the export that they were made to.
    pub export: String,
    /// Where they are kept.
    pub upper: UpperKind,
    /// They were made volatile, and the machine went down before they were detached.
    pub incomplete: bool,
    /// Files, directories and whiteouts in the upper layer, as far as they were
    /// counted.
    pub entries: u64,
    /// The bytes they take on the disk, or in memory.
    pub bytes: u64,
    /// There may be more, which were not counted.
    pub more: bool,
}

impl ChangesStatus {
    /// The name of the export to attach so as to go on with them: changed blocks go with
    /// one disk only, changed files with every disk of their commit.
    pub fn export_to_go_on_with(&self) -> String {
        match self.upper {
            UpperKind::Block => self.export.clone(),
            _ => ExportName::parse(&self.export).of_commit().to_string(),
        }
    }
}
