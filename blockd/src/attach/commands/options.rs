//! What is asked of attach and detach, and what they answer.

use std::{fmt, iter, num::NonZeroUsize, path::PathBuf, time::Duration};

use serde::{Serialize, Serializer};

use crate::{
    attach::{
        commands::{status::Progress, teardown::Manner},
        layers::{device::Via, holders::Holder, upper::Upper},
    },
    relay::{CacheStatus, RelayProgram},
};
use blockd_nbd::uri::NbdUri;

/// What to attach, where and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The export.
    pub uri: NbdUri,
    /// Other servers that have it.
    pub also: Vec<NbdUri>,
    /// How long a read waits for a server.
    pub timeout: Duration,
    /// An empty directory.
    pub mountpoint: PathBuf,
    /// Show the export as it is, without a diff.
    pub read_only: bool,
    /// Where changes are kept; `None`: where they are, or in the state directory.
    pub upper: Option<Upper>,
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
    /// Bring all of the disk to this host.
    pub hydrate: bool,
    /// The most that this may store; `None`: what the relay was started with.
    pub cache_size: Option<u64>,
    /// The `blockd` that reads ahead in the background.
    pub program: PathBuf,
    /// The `blockd` whose relay serves the device.
    pub relay_program: RelayProgram,
}

impl Options {
    /// All servers, the first first.
    pub(crate) fn servers(&self) -> impl Iterator<Item = &NbdUri> {
        iter::once(&self.uri).chain(&self.also)
    }
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
    /// End processes that are still inside.
    pub force: bool,
    /// Throw the diff away.
    pub discard: bool,
    /// The `blockd` whose `settle` waits for those inside.
    pub program: PathBuf,
}

impl DetachOptions {
    pub(crate) fn manner(&self) -> Manner {
        match (self.force, self.lazy) {
            (true, _) => Manner::Force,
            (false, true) => Manner::Lazy,
            (false, false) => Manner::Polite,
        }
    }
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
    /// How many other attachments use the same device.
    pub shared_with: usize,
    /// What becomes of changes.
    pub diff: Diff,
    /// Where they are kept.
    pub upper: Option<Upper>,
    /// How far the hydration is that was asked for.
    pub cache: Option<CacheStatus>,
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
            cache,
            elapsed,
            ..
        } = self;
        let via = via.words();
        let diff = match diff {
            Diff::None => "read-only",
            Diff::New => "no changes yet",
            Diff::Kept => "with the changes of before",
        };
        writeln!(f, "{} shows {export}, {diff}", mountpoint.display())?;
        writeln!(f, "{} through {via} ({because})", device.display())?;
        if let Some(cache) = cache {
            writeln!(f, "{}", Progress(cache))?;
        }
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
    /// Where they are kept.
    pub upper: Option<Upper>,
    /// Who is still inside, after a lazy detach.
    pub holders: Vec<Holder>,
    /// The device is still in use, and goes with its last user.
    pub settling: bool,
}

impl fmt::Display for Detached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mountpoint = self.mountpoint.display();
        match &self.export {
            Some(export) => write!(f, "detached {export} from {mountpoint}")?,
            None => write!(f, "nothing is attached at {mountpoint}")?,
        }
        if let (Some(export), Some(upper)) = (&self.diff, &self.upper) {
            let until = match upper {
                Upper::State | Upper::Block => "",
                Upper::Tmpfs { .. } => " in memory, until the machine is started anew",
            };
            write!(
                f,
                "\nits changes to {export} are kept{until} (--discard throws them away)"
            )?;
        }
        for holder in &self.holders {
            write!(f, "\nstill inside: {holder}")?;
        }
        if self.settling {
            write!(
                f,
                "\nits device is still in use, and goes with its last user"
            )?;
        }
        Ok(())
    }
}
