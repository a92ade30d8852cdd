//! The user that codex runs as: an unprivileged one, if we run as root.

use std::{
    ffi::OsStr,
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::{OpenOptionsExt, chown},
    path::Path,
};

use anyhow::{Context, Result};
use tokio::process::Command;

/// Variables that are removed from their environment: the credentials for the
/// store, the platform and the agent. The agent gets its token as a file.
const SECRETS: [&str; 5] = [
    "AGENT_TOKEN",
    "AGENT_GRANT_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "FLY_API_TOKEN",
];

/// A user and a group, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
}

impl User {
    /// The effective user and group of this process.
    pub fn current() -> Self {
        Self {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }

    /// A command that runs as this user, without our supplementary groups and secrets.
    pub fn command(&self, program: &OsStr) -> Command {
        let mut command = Command::new(program);
        for name in SECRETS {
            command.env_remove(name);
        }
        if *self != Self::current() {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Makes this user the owner of a file or directory.
    ///
    /// # Errors
    ///
    /// When we may not, or there is no such file.
    pub fn chown(&self, path: &Path) -> Result<()> {
        let changed = chown(path, Some(self.uid), Some(self.gid));
        changed.with_context(|| {
            format!(
                "cannot change the owner of {} to user {}",
                path.display(),
                self.uid
            )
        })
    }

    /// Writes a file that only this user can read, in place of an earlier one.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write_secret(&self, path: &Path, text: &str) -> Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o400)
            .open(path);
        let mut file = file.with_context(|| format!("cannot create {}", path.display()))?;
        file.write_all(text.as_bytes())?;
        self.chown(path)
    }
}
