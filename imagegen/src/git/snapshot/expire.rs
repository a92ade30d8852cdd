//! Snapshots that nobody has used for a while.

use std::{
    fs,
    path::Path,
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
    /// Removes the snapshots that nobody has opened for `older_than` and that
    /// are not `in_use`, and what a process that died left unfinished; says
    /// how many snapshots went.
    ///
    /// What this process has open stays in any case. A commit whose snapshot
    /// goes gets a new one when it is opened again.
    pub fn expire(
        &self,
        older_than: Duration,
        in_use: &dyn Fn(SnapshotId) -> bool,
    ) -> Result<usize> {
        let mut removed = 0_usize;
        for home in subdirectories(&self.directory)? {
            for directory in subdirectories(&home)? {
                let name = directory
                    .file_name()
                    .and_then(|name| name.to_str())
                    .unwrap_or_default();
                if !is_older(&directory, older_than) {
                    continue;
                }
                if name.starts_with(UNFINISHED) {
                    drop(fs::remove_dir_all(&directory));
                } else if let Ok(id) = name.parse::<SnapshotId>()
                    && !in_use(id)
                    && self.remove_unless_open(&directory)?
                {
                    removed = removed.saturating_add(1);
                }
            }
            forget_commits(&home);
        }
        Ok(removed)
    }

    fn remove_unless_open(&self, directory: &Path) -> Result<bool> {
        let open = lock(&self.open);
        if open.get(directory).and_then(Weak::upgrade).is_some() {
            return Ok(false);
        }
        remove(directory)?;
        Ok(true)
    }
}

/// Removes the pointers of commits whose snapshot is gone.
fn forget_commits(home: &Path) {
    for pointer in fs::read_dir(home.join("commits"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let path = pointer.path();
        let kept = fs::read_to_string(&path).is_ok_and(|id| home.join(id.trim()).is_dir());
        if !kept {
            drop(fs::remove_file(path));
        }
    }
}

fn is_older(directory: &Path, age: Duration) -> bool {
    let modified = fs::metadata(directory).and_then(|about| about.modified());
    modified.is_ok_and(|modified| {
        SystemTime::now()
            .duration_since(modified)
            .is_ok_and(|passed| passed >= age)
    })
}

fn subdirectories(directory: &Path) -> Result<Vec<std::path::PathBuf>> {
    let entries = fs::read_dir(directory).map_err(|error| Error::io("list", directory, error))?;
    let paths = entries.flatten().map(|entry| entry.path());
    Ok(paths.filter(|path| path.is_dir()).collect())
}
