//! The process that a pid file names, to wait for it and to end it.

use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use crate::relay::Process;

/// A process that can be waited for and ended, and never another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity(Process);

impl Identity {
    pub(crate) fn of(pid: Pid) -> Result<Self> {
        Process::of(pid).map(Self)
    }

    /// The process of a pid file, when it is still alive.
    pub(crate) fn alive(path: &Path) -> Option<Self> {
        let written = Self(Process::read(path)?);
        written.is_running().then_some(written)
    }

    fn is_running(&self) -> bool {
        Self::of(self.0.pid).is_ok_and(|running| running == *self)
    }

    /// Waits until it has ended; `false` when the time is over first.
    pub(crate) fn wait(&self, patience: Duration) -> bool {
        let Ok(handle) = pidfd_open(self.0.pid, PidfdFlags::empty()) else {
            return true;
        };
        // Its id may have been used again before the handle was open.
        if !self.is_running() {
            return true;
        }
        let patience = Timespec::try_from(patience).ok();
        let mut files = [PollFd::new(&handle, PollFlags::IN)];
        poll(&mut files, patience.as_ref()).is_ok_and(|ready| ready > 0)
    }

    /// Ends it, and waits until it has ended.
    pub(crate) fn kill(&self, patience: Duration) -> io::Result<bool> {
        let begun = Instant::now();
        self.send(Signal::KILL)?;
        Ok(self.wait(patience.saturating_sub(begun.elapsed())))
    }

    /// Sends it a signal, if it still runs.
    pub(crate) fn send(&self, signal: Signal) -> io::Result<()> {
        let Ok(handle) = pidfd_open(self.0.pid, PidfdFlags::empty()) else {
            return Ok(());
        };
        if self.is_running() {
            match pidfd_send_signal(&handle, signal) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    pub(crate) fn pid(&self) -> Pid {
        self.0.pid
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

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
        identity.0.write(&path).unwrap();
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
        identity.0.started = "1".to_owned();
        identity.0.write(&path).unwrap();
        assert_eq!(Identity::alive(&path), None);
        assert!(identity.wait(Duration::ZERO));
        assert!(identity.kill(Duration::ZERO).unwrap(), "and is left alone");
        fs::write(&path, "garbage").unwrap();
        assert_eq!(Identity::alive(&path), None);
    }
}
