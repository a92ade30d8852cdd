//! Who runs codex: a user without power, where we have any to give away.

use std::{
    ffi::OsStr,
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::{OpenOptionsExt, chown},
    path::Path,
};

use anyhow::{Context, Result};
use tokio::process::Command;

/// What of our environment is not for them: what opens the store, the platform,
/// and us. They get the token as a file.
const WITHHELD: [&str; 5] = [
    "AGENT_TOKEN",
    "AGENT_GRANT_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "FLY_API_TOKEN",
];

/// A user and a group by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

impl User {
    /// Who we are.
    pub fn own_self() -> Self {
        Self {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }

    /// A program that runs as this user, without our other groups and secrets.
    pub fn command(&self, program: &OsStr) -> Command {
        let mut command = Command::new(program);
        for name in WITHHELD {
            command.env_remove(name);
        }
        if *self != Self::own_self() {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Gives a file or directory to this user.
    ///
    /// # Errors
    ///
    /// When that is not ours to do.
    pub fn own(&self, path: &Path) -> Result<()> {
        let given = chown(path, Some(self.uid), Some(self.gid));
        given.with_context(|| format!("cannot give {} to user {}", path.display(), self.uid))
    }

    /// Writes a file that only this user can read.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn secret(&self, path: &Path, text: &str) -> Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o400)
            .open(path);
        let mut file = file.with_context(|| format!("cannot make {}", path.display()))?;
        file.write_all(text.as_bytes())?;
        self.own(path)
    }
}
