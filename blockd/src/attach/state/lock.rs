//! Locks: one blockd at a time works on a mountpoint, and on a lower layer.
//!
//! The lock file is removed with its directory. Whoever waited for a file that
//! was removed has locked nothing, and tries again.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use rustix::io::{FdFlags, fcntl_setfd};

use super::{attachment_dir::AttachmentDir, directory::private_directory};
use crate::atomic_file::no_follow;

/// How long another command on the same mountpoint is waited for.
const ATTACHMENT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a command on the same lower layer is waited for: it may be asking
/// servers.
pub(crate) const LOWER_TIMEOUT: Duration = Duration::from_secs(60);
const RETRY_INTERVAL: Duration = Duration::from_millis(5);

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Lock {
    /// Locks a mountpoint.
    ///
    /// # Errors
    ///
    /// When another blockd holds the lock for more than 2 s, or the lock file
    /// cannot be made.
    pub(crate) fn attachment(dir: &AttachmentDir) -> Result<Self> {
        let mountpoint = dir.mountpoint().display().to_string();
        Self::acquire(&dir.lock_file(), ATTACHMENT_TIMEOUT, &mountpoint)
    }

    /// Locks the file at `path`; `what` is what it protects, for the error.
    ///
    /// A command that was killed holds its lock until the process it was just
    /// starting has begun to run.
    ///
    /// # Errors
    ///
    /// When the lock is not free within `timeout`, or the file cannot be made.
    pub(crate) fn acquire(path: &Path, timeout: Duration, what: &str) -> Result<Self> {
        let start = Instant::now();
        loop {
            if let Some(lock) = Self::try_acquire(path)? {
                return Ok(lock);
            }
            if start.elapsed() > timeout {
                return Err(timeout_error(what));
            }
            thread::sleep(RETRY_INTERVAL);
        }
    }

    /// The same as [`Lock::acquire`], for a task that may be cancelled.
    ///
    /// # Errors
    ///
    /// Those of [`Lock::acquire`].
    pub(crate) async fn acquire_async(path: &Path, timeout: Duration, what: &str) -> Result<Self> {
        let start = Instant::now();
        loop {
            if let Some(lock) = Self::try_acquire(path)? {
                return Ok(lock);
            }
            if start.elapsed() > timeout {
                return Err(timeout_error(what));
            }
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
    }

    /// Makes the file and its directory where they are missing; `None` when the
    /// lock is not free.
    fn try_acquire(path: &Path) -> Result<Option<Self>> {
        let directory = path.parent().expect("a lock file is in a directory");
        let attempt = || {
            private_directory(directory)?;
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true);
            options.mode(0o600).custom_flags(no_follow());
            Self::lock_file(options.open(path)?, path)
        };
        match attempt() {
            // The last user of the directory removes it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            result => result.with_context(|| format!("cannot lock {}", path.display())),
        }
    }

    /// A copy of the lock for a child process to inherit: nobody else gets the
    /// lock while the child has the file open, even when this process is killed.
    ///
    /// # Errors
    ///
    /// When no file descriptor is free.
    pub(crate) fn inheritable(&self) -> io::Result<File> {
        let file = self.0.try_clone()?;
        fcntl_setfd(&file, FdFlags::empty())?;
        Ok(file)
    }

    /// Whether a blockd holds the lock. Several may ask at the same time.
    ///
    /// # Errors
    ///
    /// When the file is there and cannot be opened or locked.
    pub(crate) fn is_held(path: &Path) -> io::Result<bool> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn lock_file(file: File, path: &Path) -> io::Result<Option<Self>> {
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let locked = file.metadata()?;
        let named = match fs::metadata(path) {
            Ok(named) => named,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_same = named.ino() == locked.ino() && named.dev() == locked.dev();
        Ok(is_same.then_some(Self(file)))
    }
}

fn timeout_error(what: &str) -> anyhow::Error {
    anyhow!("another blockd is at work on {what}: try again when it is done")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_by_one_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/lock");
        let held = Lock::acquire(&path, Duration::ZERO, "x").unwrap();
        let error = Lock::acquire(&path, Duration::ZERO, "x").unwrap_err();
        let error = error.to_string();
        assert!(error.contains("another blockd is at work on x"), "{error}");
        assert!(Lock::is_held(&path).unwrap());
        drop(held);
        assert!(!Lock::is_held(&path).unwrap());
        drop(Lock::acquire(&path, Duration::ZERO, "x").unwrap());
    }

    #[test]
    fn a_lock_on_a_removed_file_does_not_count() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let waiting = File::create(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(Lock::lock_file(waiting, &path).unwrap().is_none());
        let waiting = File::create(&path).unwrap();
        fs::remove_file(&path).unwrap();
        drop(File::create(&path).unwrap());
        assert!(Lock::lock_file(waiting, &path).unwrap().is_none());
    }
}
