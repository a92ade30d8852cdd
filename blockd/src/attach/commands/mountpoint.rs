//! The path of a mountpoint, as the kernel shows it.

use std::path::{self, Path, PathBuf};

use anyhow::{Context, Result};

/// Resolves symbolic links in the path of a mountpoint. Where that is not
/// possible, as on the mountpoint of a dead file system, the path is made
/// absolute only.
///
/// # Errors
///
/// When there is no current directory.
pub(crate) fn resolve(mountpoint: &Path) -> Result<PathBuf> {
    mountpoint
        .canonicalize()
        .or_else(|_| path::absolute(mountpoint))
        .with_context(|| format!("cannot find {}", mountpoint.display()))
}
