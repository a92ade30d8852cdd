//! What a task has on this machine besides its changes: a home, with codex's
//! conversations in it, directories for temporary files, and the logs. Another task
//! that this machine works for gets its own, and cannot reach those of the last one.
//!
//! ```text
//! tasks/NAME/home      of codex's user; HOME, with .codex in it
//!            tmp/0 …   bound over /tmp and the like, where only codex looks
//!            logs      of the user that agent serve runs as
//! ```

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use tracing::{info, warn};

use super::options::Options;

/// Where all users may write.
const SHARED: [&str; 4] = ["/tmp", "/var/tmp", "/dev/shm", "/run/lock"];
/// The name of what belongs to no task.
const UNNAMED: &str = "unnamed";
/// The longest configuration of codex, in bytes, that is copied into a home.
const MAX_CONFIGURATION: u64 = 1 << 20;

/// The directories of a task.
#[derive(Debug)]
pub(super) struct Task {
    folder: PathBuf,
}

impl Task {
    /// Makes the directories of the task that this machine works for, unless they are
    /// there, and takes those of other tasks out of reach.
    ///
    /// # Errors
    ///
    /// When one cannot be made or closed.
    pub(super) fn begin(options: &Options, state: &Path) -> Result<Self> {
        let tasks = state.join("tasks");
        let name = options.name.as_deref().unwrap_or(UNNAMED);
        make(&tasks, 0o711)?;
        close_others(&tasks, name)?;
        let folder = tasks.join(name);
        make(&folder, 0o711)?;
        let task = Self { folder };
        make(&task.logs(), 0o700)?;
        options.server.chown(&task.logs())?;
        if options.has_two_users() {
            task.make_home(options)?;
        }
        Ok(task)
    }

    /// The directory of the logs.
    pub(super) fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    /// The home of codex's user.
    pub(super) fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// Codex's own home.
    pub(super) fn codex_home(&self) -> PathBuf {
        self.home().join(".codex")
    }

    fn make_home(&self, options: &Options) -> Result<()> {
        for folder in [self.home(), self.codex_home()] {
            if folder.exists() {
                continue;
            }
            // The server, which has codex's group, reads codex's records there.
            make(&folder, 0o750)?;
            options.user.chown(&folder)?;
        }
        let own = self.codex_home().join("config.toml");
        let Some(given) = given_configuration(options).filter(|_| !own.exists()) else {
            return Ok(());
        };
        let size = fs::metadata(given)?.len();
        ensure!(
            size <= MAX_CONFIGURATION,
            "{} has {size} bytes: codex's configuration is smaller",
            given.display()
        );
        fs::copy(given, &own).with_context(|| format!("cannot copy {}", given.display()))?;
        options.user.chown(&own)
    }

    /// What to bind where, in order, so that directories which all users may write are
    /// this task's own for codex: pairs of a source and a place. What is needed below
    /// such a directory stays there.
    ///
    /// # Errors
    ///
    /// When a directory cannot be made.
    pub(super) fn binds(&self, needed: &[&Path]) -> Result<Vec<(PathBuf, PathBuf)>> {
        let mut binds = Vec::new();
        let own = self.folder.join("tmp");
        make(&own, 0o755)?;
        for (number, shared) in SHARED.iter().enumerate() {
            let shared = Path::new(shared);
            // A link, as of /var/tmp to /tmp, is followed to one that is bound.
            let is_there = fs::symlink_metadata(shared).is_ok_and(|found| found.is_dir());
            if !is_there || needed.contains(&shared) {
                continue;
            }
            let source = own.join(number.to_string());
            make(&source, 0o1777)?;
            for path in needed {
                if let Ok(below) = path.strip_prefix(shared) {
                    binds.push(((*path).to_owned(), source.join(below)));
                }
            }
            binds.push((source, shared.to_owned()));
        }
        Ok(binds)
    }
}

/// Makes a directory, and gives it this mode whoever made it.
fn make(path: &Path, mode: u32) -> Result<()> {
    let shown = path.display();
    let created = DirBuilder::new().recursive(true).mode(mode).create(path);
    created.with_context(|| format!("cannot create {shown}"))?;
    let set = fs::set_permissions(path, Permissions::from_mode(mode));
    set.with_context(|| format!("cannot change the mode of {shown}"))
}

/// Lets nobody but root into the directories of other tasks.
fn close_others(tasks: &Path, ours: &str) -> Result<()> {
    for entry in fs::read_dir(tasks)? {
        let entry = entry?;
        if entry.file_name() != ours {
            make(&entry.path(), 0o700)?;
            info!("{} is of another task, and closed", entry.path().display());
        }
    }
    Ok(())
}

/// The configuration that codex begins with, if there is one.
fn given_configuration(options: &Options) -> Option<&Path> {
    let file = options.configuration.as_deref()?;
    match fs::symlink_metadata(file) {
        Ok(found) if found.is_file() => Some(file),
        Ok(_) => {
            warn!("{} is no regular file: it is not used", file.display());
            None
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            warn!("cannot look at {}: {error}", file.display());
            None
        }
    }
}
