//! Which process this is, for those who will end it: a process id alone is
//! used again, after a while and after a reboot.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process,
};

use anyhow::{Context, Result};
use rustix::process::Pid;

/// A process by its id, when it started (field 22 of `proc_pid_stat(5)`), and
/// in which life of the machine; in a file it is these three words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: Pid,
    pub(crate) started: String,
    pub(crate) boot: String,
}

impl Process {
    /// A process that runs.
    pub(crate) fn of(pid: Pid) -> Result<Self> {
        let started = started(pid).with_context(|| format!("there is no process {pid}"))?;
        Ok(Self {
            pid,
            started,
            boot: boot()?,
        })
    }

    /// The process that a file names, whether it runs or not.
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let mut words = text.split_whitespace();
        let pid = Pid::from_raw(words.next()?.parse().ok()?)?;
        let (started, boot) = (words.next()?.to_owned(), words.next()?.to_owned());
        Some(Self { pid, started, boot })
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = format!("{} {} {}\n", self.pid, self.started, self.boot);
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// A zombie counts as ended.
fn started(pid: Pid) -> io::Result<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the name in parentheses, and may hold anything.
    let (_, fields) = stat.rsplit_once(')').unwrap_or_default();
    let mut fields = fields.split_whitespace();
    let state = fields.next().unwrap_or("Z");
    match fields.nth(18).filter(|_| state != "Z" && state != "X") {
        Some(started) => Ok(started.to_owned()),
        None => Err(io::ErrorKind::NotFound.into()),
    }
}

/// A new one with every start of the machine.
pub(crate) fn boot() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    let id = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    Ok(id.trim().to_owned())
}

/// The file that names us. Removed when dropped.
#[derive(Debug)]
pub(super) struct PidFile {
    path: PathBuf,
    ours: Process,
}

impl PidFile {
    pub(super) fn write(path: &Path) -> Result<Self> {
        let own = i32::try_from(process::id()).ok().and_then(Pid::from_raw);
        let ours = Process::of(own.context("we have no process id")?)?;
        ours.write(path)?;
        Ok(Self {
            path: path.to_owned(),
            ours,
        })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // A relay that took our place has written its own.
        if Process::read(&self.path).as_ref() == Some(&self.ours) {
            let _removed = fs::remove_file(&self.path);
        }
    }
}
