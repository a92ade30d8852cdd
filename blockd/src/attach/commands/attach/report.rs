//! What `blockd attach` reports.

use std::{fmt, path::PathBuf, time::Duration};

use blockd_nbd::printable;
use serde::Serialize;

use crate::{
    attach::{
        commands::status::progress::Progress,
        layers::step_times::{Step, milliseconds},
        state::{upper_kind::UpperKind, via::Via},
    },
    relay::CacheStatus,
};

/// What was attached.
#[derive(Clone, Debug, Serialize)]
pub struct AttachReport {
    /// Where it is mounted.
    pub mountpoint: PathBuf,
    /// Canonical name of the export.
    pub export: String,
    /// Size of the disk in bytes.
    pub size: u64,
    /// The block device.
    pub device: PathBuf,
    /// The kind of block device.
    pub via: Via,
    /// Why this kind was taken.
    #[serde(rename = "because")]
    pub reason: String,
    /// The number of other attachments that use the same device.
    pub shared_with: usize,
    /// Whether there are changes.
    #[serde(rename = "diff")]
    pub changes: ChangesState,
    /// Where changes are kept; `None` if it is read-only.
    pub upper: Option<UpperKind>,
    /// How far the hydration is, if one was asked for.
    pub cache: Option<CacheStatus>,
    /// What does not work as it should.
    pub warnings: Vec<String>,
    /// How long the attach took; in JSON, milliseconds.
    #[serde(rename = "milliseconds", serialize_with = "milliseconds")]
    pub elapsed: Duration,
    /// How long each step took, in order.
    pub steps: Vec<Step>,
}

/// Whether there are changes at a mountpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangesState {
    /// It is read-only.
    None,
    /// Nothing was changed yet.
    New,
    /// Those of an earlier attach are there.
    Kept,
}

impl fmt::Display for AttachReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            mountpoint,
            export,
            device,
            via,
            reason,
            changes,
            cache,
            elapsed,
            ..
        } = self;
        let (via, export) = (via.description(), printable(export));
        let changes = match changes {
            ChangesState::None => "read-only",
            ChangesState::New => "without changes",
            ChangesState::Kept => "with the changes that were kept",
        };
        writeln!(f, "{} shows {export}, {changes}", mountpoint.display())?;
        writeln!(f, "{} through {via} ({reason})", device.display())?;
        if let Some(cache) = cache {
            writeln!(f, "{}", Progress(cache))?;
        }
        write!(f, "attached in {:.0} ms", elapsed.as_secs_f64() * 1000.0)
    }
}
