//! `blockd forget`: snapshots that hold what was purged.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::Result;

use crate::serve::catalog::{self, Forgotten};

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
    let ForgetOptions {
        repo,
        object,
        all,
        state,
    } = options;
    let Forgotten { removed, left } = catalog::forget(repo, object.as_deref(), *all, state)?;
    let mut out = io::stdout().lock();
    writeln!(out, "{removed} snapshots removed, {left} left")?;
    Ok(())
}
