//! Removing snapshots that have not been used for some time.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Weak,
    time::{Duration, SystemTime},
};

use super::{
    SnapshotId, SnapshotStore,
    store::{UNFINISHED, remove},
};
use crate::{
    error::{Error, Result},
    git::sync::lock,
};

impl SnapshotStore {
    /// Removes the snapshots that were last opened at least `older_than` ago and
    /// are not `in_use`, and directories that a killed process left unfinished.
    /// Returns the number of snapshots removed.
    ///
    /// Snapshots that this process has open are never removed. A commit whose
    /// snapshot is removed gets a new one when it is opened again.
    ///
    /// # Errors
    ///
    /// [`Kind::Io`](crate::Kind::Io) if the state directory cannot be listed, or
    /// a snapshot not removed.
    pub fn expire(
        &self,
        older_than: Duration,
        in_use: &dyn Fn(SnapshotId) -> bool,
    ) -> Result<usize> {
        let mut removed = 0;
        for home in subdirectories(&self.directory)? {
            for directory in subdirectories(&home)? {
                // A name that is not UTF-8 is not one of a snapshot.
                let Some(name) = directory.file_name().and_then(|name| name.to_str()) else {
                    continue;
                };
                if !is_older(&directory, older_than) {
                    continue;
                }
                if name.starts_with(UNFINISHED) {
                    drop(fs::remove_dir_all(&directory));
                } else if let Ok(id) = name.parse::<SnapshotId>()
                    && !in_use(id)
                    && self.remove_unless_open(&directory)?
                {
                    removed += 1;
                }
            }
            forget_commits(&home);
        }
        self.expire_older(older_than)?;
        Ok(removed)
    }

    /// How many snapshots are kept.
    ///
    /// # Errors
    ///
    /// [`Kind::Io`](crate::Kind::Io) if the state directory cannot be listed.
    pub fn kept(&self) -> Result<usize> {
        let mut kept = 0;
        for home in subdirectories(&self.directory)? {
            let all = subdirectories(&home)?;
            let names = all.iter().filter_map(|path| path.file_name()?.to_str());
            kept += names
                .filter(|name| name.parse::<SnapshotId>().is_ok())
                .count();
        }
        Ok(kept)
    }

    /// The same for snapshots of format 1, which only a server of the last
    /// release can have open: that touches them when it opens them.
    fn expire_older(&self, older_than: Duration) -> Result<()> {
        if !self.older.is_dir() {
            return Ok(());
        }
        for home in subdirectories(&self.older)? {
            for directory in subdirectories(&home)? {
                let name = directory.file_name().and_then(|name| name.to_str());
                let is_snapshot = name.is_some_and(is_id_of_format_1);
                if is_snapshot && is_older(&directory, older_than) {
                    remove(&directory)?;
                }
            }
            forget_commits(&home);
            drop(fs::remove_dir(home.join("commits")));
            drop(fs::remove_dir(&home));
        }
        drop(fs::remove_dir(&self.older));
        Ok(())
    }

    pub(super) fn remove_unless_open(&self, directory: &Path) -> Result<bool> {
        let open = lock(&self.open);
        if open.get(directory).and_then(Weak::upgrade).is_some() {
            return Ok(false);
        }
        remove(directory)?;
        Ok(true)
    }
}

/// Whether a directory has the name of a snapshot of format 1.
fn is_id_of_format_1(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Removes the pointers of commits whose snapshot does not exist.
pub(super) fn forget_commits(home: &Path) {
    for pointer in fs::read_dir(home.join("commits"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let path = pointer.path();
        let exists = fs::read_to_string(&path).is_ok_and(|id| home.join(id.trim()).is_dir());
        if !exists {
            drop(fs::remove_file(path));
        }
    }
}

/// Whether a directory was modified at least `age` ago. If that is unknown it
/// is not, so that it is not removed.
fn is_older(directory: &Path, age: Duration) -> bool {
    let modified = fs::metadata(directory).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|modified| {
        SystemTime::now()
            .duration_since(modified)
            .is_ok_and(|passed| passed >= age)
    })
}

pub(super) fn subdirectories(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).map_err(|error| Error::io("list", directory, error))?;
    let paths = entries.flatten().map(|entry| entry.path());
    Ok(paths.filter(|path| path.is_dir()).collect())
}
