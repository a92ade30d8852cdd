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

/// How many runs are kept.
const KEPT: usize = 20;

/// Names a run: the milliseconds since 1970 at which it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(u64);

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

/// Where the logs of all runs are.
#[derive(Debug)]
pub struct Runs {
    directory: PathBuf,
    limits: Limits,
}

impl Runs {
    /// Takes a directory for logs, and makes it if need be.
    ///
    /// # Errors
    ///
    /// When it cannot be made, is another's, or cannot be written to.
    pub fn new(directory: &Path, limits: Limits) -> io::Result<Self> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(directory)?;
        let metadata = fs::symlink_metadata(directory)?;
        let own = rustix::process::geteuid().as_raw();
        if metadata.uid() != own || !metadata.is_dir() {
            return Err(io::Error::other("it is not a directory of ours"));
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

    /// Begins the log of a new run, and forgets the oldest.
    ///
    /// # Errors
    ///
    /// Whatever the file system says.
    pub fn create(&self) -> io::Result<(RunId, OutputLog)> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(0));
        let earlier = self.list()?;
        let id = RunId(now.max(earlier.last().map_or(0, |last| last.0.saturating_add(1))));
        self.forget(&earlier)?;
        let path = self.path(id);
        DirBuilder::new().mode(0o700).create(&path)?;
        let log = OutputLog::create(&path, self.limits);
        Ok((id, log.inspect_err(|_| self.discard(id))?))
    }

    /// Takes away the log of a run that has not begun after all.
    pub fn discard(&self, run: RunId) {
        if let Err(error) = fs::remove_dir_all(self.path(run)) {
            tracing::warn!(%run, %error, "cannot remove the log of a run that is none");
        }
    }

    /// Makes room for one more run, that may become as large as a run may.
    fn forget(&self, earlier: &[RunId]) -> io::Result<()> {
        let mut kept = 1;
        let mut bytes = self.limits.run;
        for run in earlier.iter().rev() {
            let path = self.path(*run);
            kept += 1;
            bytes += size(&path)?;
            if kept > KEPT || bytes > self.limits.total {
                tracing::info!(%run, "the output of an old run goes");
                fs::remove_dir_all(path)?;
            }
        }
        Ok(())
    }

    /// The runs that are kept, oldest first.
    ///
    /// # Errors
    ///
    /// Whatever the file system says.
    pub fn list(&self) -> io::Result<Vec<RunId>> {
        let mut runs = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            runs.extend(name.to_str().and_then(|name| name.parse::<RunId>().ok()));
        }
        runs.sort_unstable();
        Ok(runs)
    }

    /// The log of an earlier run.
    ///
    /// # Errors
    ///
    /// Not found, most likely.
    pub fn open(&self, run: RunId) -> io::Result<OutputLog> {
        OutputLog::open(&self.path(run))
    }

    fn path(&self, run: RunId) -> PathBuf {
        self.directory.join(run.to_string())
    }
}

fn size(directory: &Path) -> io::Result<u64> {
    let entries = fs::read_dir(directory)?;
    let sizes = entries.map(|entry| Ok(entry?.metadata()?.len()));
    sizes.sum()
}
