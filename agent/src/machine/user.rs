//! The users that codex and `agent serve` run as: two unprivileged ones, if we run as
//! root.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::{OpenOptionsExt, chown},
    path::Path,
};

use anyhow::{Context, Result};
use tokio::process::Command;

/// What `agent serve` may do for codex: start it as its own user, end it, and give it
/// its terminal.
const CAPABILITIES: &str = "+setuid,+setgid,+kill,+chown";

/// Variables, by name and value.
pub type Environment = Vec<(OsString, OsString)>;

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

    /// A command that runs as this user, without our supplementary groups, and in this
    /// environment.
    pub fn command(&self, program: &OsStr, environment: &Environment) -> Command {
        let mut command = Command::new(program);
        command.env_clear();
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        if *self != Self::current() {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// The words before `agent serve` that make it run as this user, where codex is
    /// another one, whose group it has too: it reads codex's records.
    pub(crate) fn server_words(self, codex: Self) -> Vec<OsString> {
        let mut words = vec![OsString::from("setpriv")];
        let options = [
            format!("--reuid={}", self.uid),
            format!("--regid={}", self.gid),
            format!("--groups={}", codex.gid),
            "--no-new-privs".to_owned(),
            format!("--inh-caps={CAPABILITIES}"),
            format!("--ambient-caps={CAPABILITIES}"),
            "--".to_owned(),
        ];
        words.extend(options.map(OsString::from));
        words
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
