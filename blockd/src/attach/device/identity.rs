//! Which process is meant: a process id alone is used again, after a while and
//! after a reboot.

use std::{
    fs, io,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use crate::attach::life::boot;

/// A process, by its id, when it started, and in which life of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::attach) struct Identity {
    pid: Pid,
    started: String,
    boot: String,
}

impl Identity {
    pub(in crate::attach) fn of(pid: Pid) -> Result<Self> {
        let started = started(pid).with_context(|| format!("there is no process {pid}"))?;
        Ok(Self {
            pid,
            started,
            boot: boot()?,
        })
    }

    #[cfg(test)]
    fn write(&self, path: &Path) -> Result<()> {
        let text = format!("{} {} {}\n", self.pid, self.started, self.boot);
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The process of a pid file, when it is still alive.
    pub(in crate::attach) fn alive(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let mut words = text.split_whitespace();
        let pid = Pid::from_raw(words.next()?.parse().ok()?)?;
        let (started, boot) = (words.next()?.to_owned(), words.next()?.to_owned());
        let written = Self { pid, started, boot };
        Self::of(pid).ok().filter(|running| *running == written)
    }

    /// Waits until it has ended; `false` when the time is over first.
    pub(in crate::attach) fn wait(&self, patience: Duration) -> bool {
        let Ok(handle) = pidfd_open(self.pid, PidfdFlags::empty()) else {
            return true;
        };
        // Its id may have been used again before the handle was open.
        if Self::of(self.pid).ok().as_ref() != Some(self) {
            return true;
        }
        let patience = Timespec::try_from(patience).ok();
        let mut files = [PollFd::new(&handle, PollFlags::IN)];
        poll(&mut files, patience.as_ref()).is_ok_and(|ready| ready > 0)
    }

    /// Ends it, and waits until it has ended.
    pub(in crate::attach) fn kill(&self, patience: Duration) -> io::Result<bool> {
        let begun = Instant::now();
        self.send(Signal::KILL)?;
        Ok(self.wait(patience.saturating_sub(begun.elapsed())))
    }

    /// Sends it a signal, if it still runs.
    pub(in crate::attach) fn send(&self, signal: Signal) -> io::Result<()> {
        let Ok(handle) = pidfd_open(self.pid, PidfdFlags::empty()) else {
            return Ok(());
        };
        if Self::of(self.pid).ok().as_ref() == Some(self) {
            match pidfd_send_signal(&handle, signal) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    pub(in crate::attach) fn pid(&self) -> Pid {
        self.pid
    }
}

/// Field 22 of `proc_pid_stat(5)`; a zombie counts as ended.
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

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn pid(id: u32) -> Pid {
        Pid::from_raw(id.try_into().unwrap()).unwrap()
    }

    #[test]
    fn a_process_is_known_until_it_ends() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let identity = Identity::of(pid(child.id())).unwrap();
        identity.write(&path).unwrap();
        assert_eq!(Identity::alive(&path), Some(identity.clone()));
        assert!(!identity.wait(Duration::from_millis(1)));
        assert!(identity.kill(Duration::from_secs(5)).unwrap());
        assert_eq!(Identity::alive(&path), None, "a zombie has ended");
        child.wait().unwrap();
        assert!(identity.wait(Duration::ZERO));
    }

    #[test]
    fn another_process_of_the_same_id_is_not_meant() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        let mut identity = Identity::of(pid(std::process::id())).unwrap();
        identity.started = "1".to_owned();
        identity.write(&path).unwrap();
        assert_eq!(Identity::alive(&path), None);
        assert!(identity.wait(Duration::ZERO));
        assert!(identity.kill(Duration::ZERO).unwrap(), "and is left alone");
        fs::write(&path, "garbage").unwrap();
        assert_eq!(Identity::alive(&path), None);
    }
}
