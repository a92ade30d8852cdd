//! `blockd forget`: snapshots that hold what was purged.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::{Context, Result};
use imagegen::git::{Cache, Forget, Forgotten, ObjectId, Repository, SnapshotStore};

/// The options of [`forget`].
#[derive(Clone, Debug)]
pub struct ForgetOptions {
    /// The repository's absolute path; it may be gone.
    pub repo: PathBuf,
    /// Only snapshots with this object.
    pub object: Option<String>,
    /// All snapshots of the repository.
    pub all: bool,
    /// The state directory.
    pub state: PathBuf,
}

/// Removes snapshots of a repository, and prints how many.
///
/// # Errors
///
/// The object is no full id, the repository is damaged, or a snapshot cannot be
/// removed.
pub fn forget(options: &ForgetOptions) -> Result<()> {
    let store = SnapshotStore::open(&options.state)?;
    let Forgotten { removed, left } = if options.repo.exists() {
        let cache = Cache::new(0, &options.state);
        let repository = Repository::open(&options.repo)?;
        store.forget(&repository, which(options)?, &cache)?
    } else {
        store.forget_gone(&options.repo)?
    };
    let mut out = io::stdout().lock();
    writeln!(out, "{removed} snapshots removed, {left} left")?;
    Ok(())
}

fn which(options: &ForgetOptions) -> Result<Forget> {
    match &options.object {
        _ if options.all => Ok(Forget::All),
        None => Ok(Forget::Purged),
        Some(object) => {
            let id = ObjectId::from_hex(object.as_bytes());
            let id = id.with_context(|| format!("{object:?} is no full object id"))?;
            Ok(Forget::Holding(id))
        }
    }
}
