//! Kept snapshots that hold what was purged from a repository.

use std::path::Path;

use anyhow::{Context, Result};
pub use imagegen::git::Forgotten;
use imagegen::git::{Cache, Forget, ObjectId, Repository, SnapshotStore};

/// Removes snapshots of the repository at `path` from a state directory: those
/// with an object that it no longer has, or those with this `object`, or `all`.
/// Where there is no repository any more, all.
///
/// # Errors
///
/// The object is no full id, the repository is damaged, or a snapshot cannot be
/// removed.
pub fn forget(path: &Path, object: Option<&str>, all: bool, state: &Path) -> Result<Forgotten> {
    let store = SnapshotStore::open(state)?;
    if !path.exists() {
        return Ok(store.forget_gone(path)?);
    }
    let which = match object {
        _ if all => Forget::All,
        None => Forget::Purged,
        Some(object) => {
            let id = ObjectId::from_hex(object.as_bytes());
            Forget::Holding(id.with_context(|| format!("{object:?} is no full object id"))?)
        }
    };
    let repository = Repository::open(path)?;
    Ok(store.forget(&repository, which, &Cache::new(0, state))?)
}
