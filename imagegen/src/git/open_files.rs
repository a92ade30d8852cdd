//! Files that are read a part at a time, any number of them, of which few are
//! open at once.
//!
//! A repository may have more files than a process may open (`RLIMIT_NOFILE`),
//! and of what it may open, the connections of clients need the larger part.

use std::{
    fmt,
    fs::File,
    io,
    num::NonZeroUsize,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use lru::LruCache;
use rustix::{
    io::Errno,
    process::{Resource, getrlimit},
};

use super::sync::lock;
use crate::{
    error::{Error, Kind, Result},
    numbers::to_usize,
};

/// With two maps each, a quarter of what Linux allows by default
/// (`vm.max_map_count`).
const MAX_PACKS: NonZeroUsize = NonZeroUsize::new(8192).expect("it is not 0");

/// How many files may be open at once, by what they are for. All shares
/// together are 5 of 16 of the limit of the process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares {
    /// Files that can be opened again at any time.
    pub(super) cached: NonZeroUsize,
    /// Files that are held open, since their path may vanish.
    pub(super) held: usize,
    /// Spooled blobs, which have no path.
    pub(super) spooled: NonZeroUsize,
    /// Packs, which are mapped, and so not open: two maps each.
    pub(super) packs: NonZeroUsize,
}

impl Shares {
    /// The shares of the limit in force (getrlimit(2)).
    pub(super) fn of_process() -> Self {
        // Without a limit, as with one that is too high to matter.
        let limit = getrlimit(Resource::Nofile)
            .current
            .map_or(1 << 20, to_usize);
        let share = |part: usize, least: usize, most| {
            NonZeroUsize::new((limit / part).clamp(least, most)).expect("no least is 0")
        };
        Self {
            cached: share(8, 8, 1024),
            held: limit / 8,
            spooled: share(16, 4, 256),
            packs: MAX_PACKS,
        }
    }
}

/// The open files of all snapshots.
pub(super) struct OpenFiles {
    /// By [`OpenFiles::new_id`]; the least recently used is closed first.
    cached: Mutex<LruCache<u64, Arc<File>>>,
    held: AtomicUsize,
    most_held: usize,
}

impl OpenFiles {
    pub(super) fn new(shares: Shares) -> Self {
        Self {
            cached: Mutex::new(LruCache::new(shares.cached)),
            held: AtomicUsize::new(0),
            most_held: shares.held,
        }
    }

    /// A number for a file, of which there is no other in this process.
    pub(super) fn new_id() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    /// The file with this id, if it is open.
    pub(super) fn cached(&self, id: u64) -> Option<Arc<File>> {
        lock(&self.cached).get(&id).cloned()
    }

    /// The file with this id, which is opened unless it is open.
    ///
    /// # Errors
    ///
    /// [`Kind::NotFound`] if it was removed, [`Kind::Io`] if it cannot be
    /// opened.
    pub(super) fn open(&self, id: u64, path: &Path) -> Result<Arc<File>> {
        if let Some(file) = self.cached(id) {
            return Ok(file);
        }
        let file = Arc::new(self.open_anew(path)?);
        let evicted = lock(&self.cached).push(id, Arc::clone(&file));
        // Closed without the lock.
        drop(evicted);
        Ok(file)
    }

    /// Opens a file that stays open until the result is dropped.
    ///
    /// # Errors
    ///
    /// [`Kind::Unsupported`] if too many are held already; else as
    /// [`OpenFiles::open`].
    pub(super) fn hold(self: &Arc<Self>, path: &Path) -> Result<HeldFile> {
        // Counted first, and also if it fails: the file's drop takes it back.
        let before = self.held.fetch_add(1, Ordering::Relaxed);
        let counted = Held(Arc::clone(self));
        if before >= self.most_held {
            let most = self.most_held;
            let message = format!(
                "cannot hold {} open besides {most} other files: use a state directory on the \
                 file system of the repositories, or allow more open files (ulimit -n)",
                path.display()
            );
            return Err(Error::new(Kind::Unsupported, message));
        }
        let file = self.open_anew(path)?;
        Ok(HeldFile {
            file,
            _counted: counted,
        })
    }

    /// Closes the file with this id.
    pub(super) fn forget(&self, id: u64) {
        let file = lock(&self.cached).pop(&id);
        drop(file);
    }

    /// Opens a file. If the process has too many open, those that can be opened
    /// again are closed first.
    fn open_anew(&self, path: &Path) -> Result<File> {
        let is_full = |error: &io::Error| {
            let code = error.raw_os_error();
            [Errno::MFILE, Errno::NFILE]
                .map(|full| Some(full.raw_os_error()))
                .contains(&code)
        };
        let opened = match File::open(path) {
            Err(error) if is_full(&error) => {
                lock(&self.cached).clear();
                File::open(path)
            }
            opened => opened,
        };
        opened.map_err(|error| Error::io("open", path, error))
    }
}

impl fmt::Debug for OpenFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} open files", lock(&self.cached).len())
    }
}

/// A file that is held open.
#[derive(Debug)]
pub(super) struct HeldFile {
    pub(super) file: File,
    _counted: Held,
}

/// One of the files that are held open.
#[derive(Debug)]
struct Held(Arc<OpenFiles>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn two() -> Arc<OpenFiles> {
        let two = NonZeroUsize::MIN.saturating_add(1);
        Arc::new(OpenFiles::new(Shares {
            cached: two,
            held: 2,
            spooled: two,
            packs: two,
        }))
    }

    #[test]
    fn the_least_recently_used_file_is_closed_and_opened_again() {
        let (files, directory) = (two(), TempDir::new().unwrap());
        let path = directory.path().join("file");
        fs::write(&path, "x").unwrap();
        for id in [1, 2, 1, 3] {
            files.open(id, &path).unwrap();
        }
        assert!(files.cached(2).is_none());
        assert!(files.cached(1).is_some() && files.cached(3).is_some());
        files.forget(1);
        assert!(files.cached(1).is_none());
        assert!(files.open(2, &path).is_ok());
        fs::remove_file(&path).unwrap();
        assert!(files.open(2, &path).is_ok(), "it is open");
        assert_eq!(files.open(1, &path).unwrap_err().kind(), Kind::NotFound);
    }

    #[test]
    fn the_files_that_are_held_are_counted() {
        let (files, directory) = (two(), TempDir::new().unwrap());
        let path = directory.path().join("file");
        assert_eq!(files.hold(&path).unwrap_err().kind(), Kind::NotFound);
        fs::write(&path, "x").unwrap();
        let held = [files.hold(&path).unwrap(), files.hold(&path).unwrap()];
        let error = files.hold(&path).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
        assert!(
            error.to_string().contains("besides 2 other files"),
            "{error}"
        );
        drop(held);
        assert!(files.hold(&path).is_ok());
    }
}
