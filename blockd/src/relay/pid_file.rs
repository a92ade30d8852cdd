//! The file that names the relay's process, for those who will end it: a
//! process id alone is used again, after a while and after a reboot.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rustix::process::{Pid, getpid};
use tracing::warn;

/// A process by its id, the time it started (field 22 of
/// `proc_pid_stat(5)`), and the boot of the machine it runs in. A file holds
/// these three words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: Pid,
    /// In clock ticks since the boot, as the kernel writes it.
    pub(crate) started: String,
    pub(crate) boot: String,
}

impl Process {
    /// A running process.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub(crate) fn of(pid: Pid) -> Result<Self> {
        let started = started(pid).with_context(|| format!("there is no process {pid}"))?;
        Ok(Self {
            pid,
            started,
            boot: boot()?,
        })
    }

    /// The process that a file names, whether it runs or not. `None` when there
    /// is no such file, or one that was not written to its end.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let mut words = text.split_whitespace();
        let pid = Pid::from_raw(words.next()?.parse().ok()?)?;
        let (started, boot) = (words.next()?.to_owned(), words.next()?.to_owned());
        Some(Self { pid, started, boot })
    }

    /// Writes the file.
    ///
    /// # Errors
    ///
    /// The file cannot be written; the error names it.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = format!("{} {} {}\n", self.pid, self.started, self.boot);
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// When a process started; a zombie counts as ended.
fn started(pid: Pid) -> io::Result<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse_started(&stat).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Field 22 of `proc_pid_stat(5)`; `None` for a process that has ended.
fn parse_started(stat: &str) -> Option<String> {
    // The second field is the name in parentheses, and may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next().filter(|state| !["Z", "X"].contains(state));
    state.and(fields.nth(18)).map(str::to_owned)
}

/// The id of this boot of the machine (`random(4)`).
///
/// # Errors
///
/// `/proc` is not mounted.
pub(crate) fn boot() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    let id = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    Ok(id.trim().to_owned())
}

/// The file that names this process. Removed when dropped.
#[derive(Debug)]
pub(super) struct PidFile {
    path: PathBuf,
    ours: Process,
}

impl PidFile {
    pub(super) fn write(path: &Path) -> Result<Self> {
        let ours = Process::of(getpid())?;
        ours.write(path)?;
        Ok(Self {
            path: path.to_owned(),
            ours,
        })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // A relay that has replaced this one has written its own.
        if Process::read(&self.path).as_ref() != Some(&self.ours) {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_process_stands_behind_any_name() {
        let stat = |state| {
            let fields: Vec<_> = (4..=52).map(|field: u32| field.to_string()).collect();
            format!("7 (a) R (b) {state} {}", fields.join(" "))
        };
        assert_eq!(parse_started(&stat("S")).as_deref(), Some("22"));
        assert_eq!(parse_started(&stat("Z")), None);
        assert_eq!(parse_started("7 (a) S 4"), None);
        assert_eq!(parse_started(""), None);
    }
}
