//! Directories that were looked through, and have not changed since.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use super::sync::lock;

/// How old the last change of a directory must be: in the same tick of a file
/// system's clock another one may follow unseen.
const TICK: Duration = Duration::from_secs(1);
/// How many directories are remembered.
const MAX: usize = 10_000;

/// What was found in directories that have nothing but files and directories.
#[derive(Debug, Default)]
pub(super) struct Admitted(Mutex<HashMap<PathBuf, Looked>>);

#[derive(Debug)]
struct Looked {
    stamp: Stamp,
    directories: Arc<[PathBuf]>,
}

/// The state of a directory: its time of change (`st_ctim`) is the kernel's to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    id: (u64, u64),
    changed: (i64, i64),
}

impl Stamp {
    /// That of a directory now.
    pub(super) fn of(directory: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(directory)?;
        Ok(Self {
            id: (metadata.dev(), metadata.ino()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    fn is_settled(self) -> bool {
        let (seconds, _) = self.changed;
        let changed = u64::try_from(seconds).map(Duration::from_secs);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let (Ok(changed), Ok(now)) = (changed, now) else {
            return false;
        };
        // The seconds are rounded down.
        now.checked_sub(changed).is_some_and(|age| age > TICK * 2)
    }
}

impl Admitted {
    /// The directories in a directory, if that is as it was when it was looked
    /// through.
    pub(super) fn unchanged(&self, directory: &Path, now: Stamp) -> Option<Arc<[PathBuf]>> {
        let looked = lock(&self.0);
        let found = looked.get(directory).filter(|found| found.stamp == now)?;
        Some(Arc::clone(&found.directories))
    }

    /// Remembers a directory that was looked through after its stamp was taken.
    pub(super) fn keep(&self, directory: &Path, stamp: Stamp, directories: Vec<PathBuf>) {
        if !stamp.is_settled() {
            return;
        }
        let mut looked = lock(&self.0);
        if looked.len() >= MAX {
            looked.clear();
        }
        let directories = directories.into();
        looked.insert(directory.to_owned(), Looked { stamp, directories });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_known_until_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let admitted = Admitted::default();
        let young = Stamp::of(path).unwrap();
        admitted.keep(path, young, Vec::new());
        assert!(admitted.unchanged(path, young).is_none());
        let old = Stamp {
            changed: (1, 0),
            ..young
        };
        admitted.keep(path, old, vec![path.join("a")]);
        assert_eq!(&*admitted.unchanged(path, old).unwrap(), [path.join("a")]);
        assert!(admitted.unchanged(path, young).is_none());
        fs::write(path.join("file"), "").unwrap();
        assert!(Stamp::of(path).unwrap() != young || !young.is_settled());
    }
}
