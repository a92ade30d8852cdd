//! A process that can be waited for and signalled without meaning another one
//! that has got the same process id since.

use std::{io, os::fd::OwnedFd, path::Path, time::Duration};

use anyhow::Result;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, retry_on_intr},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use crate::relay::Process;

/// The identity of a process: its id, when it started, and in which boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity(Process);

impl Identity {
    /// The identity of a running process.
    ///
    /// # Errors
    ///
    /// When there is no process of this id, or it is a zombie.
    pub(crate) fn of(pid: Pid) -> Result<Self> {
        Process::of(pid).map(Self)
    }

    /// The process that a pid file names; `None` when it has ended, or there is
    /// no such file.
    pub(crate) fn alive(path: &Path) -> Option<Self> {
        let written = Self(Process::read(path)?);
        written.is_running().then_some(written)
    }

    fn is_running(&self) -> bool {
        Self::of(self.0.pid).is_ok_and(|running| running == *self)
    }

    /// Waits until it has ended; `false` when it has not within `timeout`.
    ///
    /// # Errors
    ///
    /// When no file descriptor is free.
    pub(crate) fn wait(&self, timeout: Duration) -> io::Result<bool> {
        let Some(handle) = self.open()? else {
            return Ok(true);
        };
        let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
        let mut files = [PollFd::new(&handle, PollFlags::IN)];
        Ok(retry_on_intr(|| poll(&mut files, Some(&timeout)))? > 0)
    }

    /// Sends SIGKILL, and waits until it has ended; `false` when it has not
    /// within `timeout`.
    ///
    /// # Errors
    ///
    /// Those of [`Identity::wait`] and [`Identity::send`].
    pub(crate) fn kill(&self, timeout: Duration) -> io::Result<bool> {
        self.send(Signal::KILL)?;
        self.wait(timeout)
    }

    /// Sends it a signal, if it has not ended.
    ///
    /// # Errors
    ///
    /// When no file descriptor is free, or this process may not signal it.
    pub(crate) fn send(&self, signal: Signal) -> io::Result<()> {
        let Some(handle) = self.open()? else {
            return Ok(());
        };
        match pidfd_send_signal(&handle, signal) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A handle to the process; `None` when it has ended.
    fn open(&self) -> io::Result<Option<OwnedFd>> {
        let handle = match pidfd_open(self.0.pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // The id may have been given to another process before the handle was
        // opened.
        Ok(self.is_running().then_some(handle))
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
    fn a_process_has_its_identity_until_it_ends() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let identity = Identity::of(pid(child.id())).unwrap();
        identity.0.write(&path).unwrap();
        assert_eq!(Identity::alive(&path), Some(identity.clone()));
        assert!(!identity.wait(Duration::from_millis(1)).unwrap());
        assert!(identity.kill(Duration::from_secs(5)).unwrap());
        assert_eq!(Identity::alive(&path), None, "a zombie has ended");
        child.wait().unwrap();
        assert!(identity.wait(Duration::ZERO).unwrap());
    }

    #[test]
    fn another_process_of_the_same_id_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        let mut identity = Identity::of(pid(std::process::id())).unwrap();
        identity.0.started = "1".to_owned();
        identity.0.write(&path).unwrap();
        assert_eq!(Identity::alive(&path), None);
        assert!(identity.wait(Duration::ZERO).unwrap());
        assert!(identity.kill(Duration::ZERO).unwrap());
        fs::write(&path, "garbage").unwrap();
        assert_eq!(Identity::alive(&path), None);
    }
}
