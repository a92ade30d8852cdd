//! What is asked of attach and detach, and what they answer.

use std::{fmt, num::NonZeroUsize, path::PathBuf, time::Duration};

use serde::{Serialize, Serializer};

use super::{Via, holders::Holder};
use crate::uri::NbdUri;

/// What to attach, where and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The export.
    pub uri: NbdUri,
    /// An empty directory.
    pub mountpoint: PathBuf,
    /// Show the export as it is, without a diff.
    pub read_only: bool,
    /// The way into the kernel; `None`: the best there is.
    pub via: Option<Via>,
    /// Where attachments and diffs are kept.
    pub state: PathBuf,
    /// Owner of the files, unless the export's name says another.
    pub uid: u32,
    /// Their group.
    pub gid: u32,
    /// Connections to the server.
    pub connections: NonZeroUsize,
    /// The `blockd` whose `fuse-device` serves the FUSE disk.
    pub program: PathBuf,
}

/// What to detach.
#[derive(Clone, Debug)]
pub struct DetachOptions {
    /// Where it is attached.
    pub mountpoint: PathBuf,
    /// Where attachments and diffs are kept.
    pub state: PathBuf,
    /// Let processes that are still inside go on; it goes with the last.
    pub lazy: bool,
    /// Throw the diff away.
    pub discard: bool,
}

/// What was attached.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Where.
    pub mountpoint: PathBuf,
    /// The canonical name.
    pub export: String,
    /// Bytes of the disk.
    pub size: u64,
    /// The block device.
    pub device: PathBuf,
    /// The way into the kernel.
    pub via: Via,
    /// Why this way.
    pub because: String,
    /// What holds the changes.
    pub diff: Diff,
    /// What does not work as it should.
    pub warnings: Vec<String>,
    /// How long all of it took.
    #[serde(rename = "milliseconds", serialize_with = "milliseconds")]
    pub elapsed: Duration,
    /// What took how long, in order.
    pub steps: Vec<Step>,
}

/// One step of an attach.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// What was done.
    pub name: &'static str,
    /// How long it took.
    #[serde(rename = "milliseconds", serialize_with = "milliseconds")]
    pub elapsed: Duration,
}

/// What becomes of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Diff {
    /// Nothing can be changed.
    None,
    /// There was no change before.
    New,
    /// The changes of before are there again.
    Kept,
}

fn milliseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64() * 1000.0)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            mountpoint,
            export,
            device,
            via,
            because,
            diff,
            elapsed,
            ..
        } = self;
        let via = match via {
            Via::Nbd => "the kernel's nbd",
            Via::Fuse => "FUSE and a loop device",
        };
        let diff = match diff {
            Diff::None => "read-only",
            Diff::New => "no changes yet",
            Diff::Kept => "with the changes of before",
        };
        writeln!(f, "{} shows {export}, {diff}", mountpoint.display())?;
        writeln!(f, "{} through {via} ({because})", device.display())?;
        write!(f, "attached in {:.0} ms", elapsed.as_secs_f64() * 1000.0)
    }
}

/// What was detached.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Detached {
    /// Where.
    pub mountpoint: PathBuf,
    /// The export that was there, if any.
    pub export: Option<String>,
    /// The changes are kept, over this export.
    pub diff: Option<String>,
    /// Who is still inside, after a lazy detach.
    pub holders: Vec<Holder>,
}

impl fmt::Display for Detached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mountpoint = self.mountpoint.display();
        match &self.export {
            Some(export) => write!(f, "detached {export} from {mountpoint}")?,
            None => write!(f, "nothing is attached at {mountpoint}")?,
        }
        if let Some(diff) = &self.diff {
            write!(
                f,
                "\nits changes to {diff} are kept (--discard throws them away)"
            )?;
        }
        for holder in &self.holders {
            write!(f, "\nstill inside: {holder}")?;
        }
        Ok(())
    }
}
