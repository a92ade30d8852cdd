//! One blockd at a time works on a place, and on a lower layer.
//!
//! A lock file goes with its directory: who waited for one that is gone holds
//! a lock on nothing, and begins anew.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use rustix::io::{FdFlags, fcntl_setfd};

use crate::attach::{
    layers::poll::MOMENT,
    state::{attachment_dir::Place, directory::private_directory},
};

const PAUSE: Duration = Duration::from_millis(5);

/// Held while one blockd works on something.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Only one blockd at a time works on a place, and seldom for long.
    pub(crate) fn of_place(place: &Place) -> Result<Self> {
        let mountpoint = place.mountpoint().display().to_string();
        Self::take(&place.lock_file(), MOMENT, &mountpoint)
    }

    /// Waits some time for another blockd; `what` is what it works on. One that
    /// was killed holds the lock until the process it was starting has begun.
    pub(crate) fn take(path: &Path, patience: Duration, what: &str) -> Result<Self> {
        let begun = Instant::now();
        loop {
            if let Some(lock) = Self::make(path)? {
                return Ok(lock);
            }
            if begun.elapsed() > patience {
                return Err(busy(what));
            }
            thread::sleep(PAUSE);
        }
    }

    /// The same, where a signal may end it.
    pub(crate) async fn wait(path: &Path, patience: Duration, what: &str) -> Result<Self> {
        let begun = Instant::now();
        loop {
            if let Some(lock) = Self::make(path)? {
                return Ok(lock);
            }
            if begun.elapsed() > patience {
                return Err(busy(what));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Makes the file and its directory where they are missing.
    fn make(path: &Path) -> Result<Option<Self>> {
        let attempt = || {
            private_directory(path.parent().unwrap_or(path))?;
            Self::of(File::create(path)?, path)
        };
        match attempt() {
            // The last user of the directory was just removing it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            done => done.with_context(|| format!("cannot lock {}", path.display())),
        }
    }

    /// The lock for a process that we start: as long as it has the file open
    /// nobody else gets the lock, also when we are killed.
    pub(crate) fn lend(&self) -> io::Result<File> {
        let file = self.0.try_clone()?;
        fcntl_setfd(&file, FdFlags::empty())?;
        Ok(file)
    }

    /// Whether a blockd holds the lock; who asks is in nobody's way who asks too.
    pub(crate) fn is_held(path: &Path) -> bool {
        let file = File::open(path);
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    fn of(file: File, path: &Path) -> io::Result<Option<Self>> {
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let (ours, there) = (file.metadata()?, fs::metadata(path));
        let same = there.is_ok_and(|there| there.ino() == ours.ino() && there.dev() == ours.dev());
        Ok(same.then_some(Self(file)))
    }
}

fn busy(what: &str) -> anyhow::Error {
    anyhow!("another blockd is at work on {what}: try again when it is done")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_works_on_a_thing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/lock");
        let held = Lock::take(&path, Duration::ZERO, "x").unwrap();
        let said = Lock::take(&path, Duration::ZERO, "x")
            .unwrap_err()
            .to_string();
        assert!(said.contains("another blockd is at work on x"), "{said}");
        assert!(Lock::is_held(&path));
        drop(held);
        assert!(!Lock::is_held(&path));
        drop(Lock::take(&path, Duration::ZERO, "x").unwrap());
    }

    #[test]
    fn a_lock_on_a_file_that_is_gone_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let waits = File::create(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(Lock::of(waits, &path).unwrap().is_none());
        let waits = File::create(&path).unwrap();
        fs::remove_file(&path).unwrap();
        drop(File::create(&path).unwrap());
        assert!(Lock::of(waits, &path).unwrap().is_none());
    }
}
