//! The directory of all runs: one directory each, named by when it began.

use std::{
    fmt,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{Limits, OutputLog};
use crate::serve::screen::Size;

/// How many runs are retained.
const MAX_RUNS: usize = 20;

/// Names a run: the milliseconds since 1970 at which it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(u64);

impl RunId {
    /// When the run began, in milliseconds since 1970.
    pub fn milliseconds(self) -> u64 {
        self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for RunId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// The logs of all runs.
#[derive(Debug)]
pub struct Runs {
    directory: PathBuf,
    limits: Limits,
}

impl Runs {
    /// Uses a directory for logs, and creates it if need be.
    ///
    /// # Errors
    ///
    /// When it cannot be created, belongs to another user, or cannot be written to.
    pub fn new(directory: &Path, limits: Limits) -> io::Result<Self> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(directory)?;
        let metadata = fs::symlink_metadata(directory)?;
        let own = rustix::process::geteuid().as_raw();
        if metadata.uid() != own || !metadata.is_dir() {
            return Err(io::Error::other("it is not a directory of this user"));
        }
        if metadata.mode() & 0o022 != 0 {
            fs::set_permissions(directory, PermissionsExt::from_mode(0o700))?;
        }
        rustix::fs::access(directory, rustix::fs::Access::WRITE_OK)?;
        Ok(Self {
            directory: directory.to_owned(),
            limits,
        })
    }

    /// Creates the log of a new run, whose terminal has this size, and removes the oldest that exceed the limits.
    ///
    /// # Errors
    ///
    /// When the log cannot be created or an old one cannot be removed, or when
    /// the clock is before 1970.
    pub fn create(&self, size: Size) -> io::Result<(RunId, OutputLog)> {
        let earlier = self.list()?;
        let id = next_id(earlier.last().copied())?;
        self.remove_oldest(&earlier)?;
        let path = self.path(id);
        DirBuilder::new().mode(0o700).create(&path)?;
        let log = OutputLog::create(&path, self.limits, size);
        Ok((id, log.inspect_err(|_| self.discard(id))?))
    }

    /// Removes the log of a run that could not be started.
    pub fn discard(&self, run: RunId) {
        if let Err(error) = fs::remove_dir_all(self.path(run)) {
            tracing::warn!(%run, %error, "cannot remove the log of a run that was not started");
        }
    }

    /// Makes room for one more run, of the largest size that a run may have.
    fn remove_oldest(&self, earlier: &[RunId]) -> io::Result<()> {
        let mut runs = 1;
        let mut bytes = self.limits.run;
        for run in earlier.iter().rev() {
            let path = self.path(*run);
            runs += 1;
            bytes += size(&path)?;
            if runs > MAX_RUNS || bytes > self.limits.total {
                tracing::info!(%run, "the log of an old run is removed");
                fs::remove_dir_all(path)?;
            }
        }
        Ok(())
    }

    /// The runs that are retained, oldest first.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn list(&self) -> io::Result<Vec<RunId>> {
        let mut runs = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            // Other names are no runs of ours.
            runs.extend(name.to_str().and_then(|name| name.parse::<RunId>().ok()));
        }
        runs.sort_unstable();
        Ok(runs)
    }

    /// The log of an earlier run.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound) when it is not retained; otherwise
    /// when it cannot be read.
    pub fn open(&self, run: RunId) -> io::Result<OutputLog> {
        OutputLog::open(&self.path(run))
    }

    /// The directory of a run's log, which no other run of this host has.
    pub fn path(&self, run: RunId) -> PathBuf {
        self.directory.join(run.to_string())
    }
}

/// An id for a run that begins now, greater than that of the last.
fn next_id(last: Option<RunId>) -> io::Result<RunId> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_err(io::Error::other)?.as_millis();
    let now = RunId(u64::try_from(now).map_err(io::Error::other)?);
    match last {
        Some(RunId(last)) if last >= now.0 => {
            let next = last.checked_add(1).map(RunId);
            next.ok_or_else(|| io::Error::other(format!("no run id follows {last}")))
        }
        _ => Ok(now),
    }
}

fn size(directory: &Path) -> io::Result<u64> {
    let entries = fs::read_dir(directory)?;
    let sizes = entries.map(|entry| Ok(entry?.metadata()?.len()));
    sizes.sum()
}
