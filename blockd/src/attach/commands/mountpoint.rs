//! The path of a mountpoint, as the kernel shows it.

use std::path::{self, Component, Path, PathBuf};

use anyhow::{Context, Result};

/// Resolves symbolic links in the path of a mountpoint, as far as it is there: attach
/// makes the rest, and what a dead file system is mounted at cannot be looked up. A
/// path that steps back in what is not there is made absolute only.
///
/// # Errors
///
/// When there is no current directory.
pub(crate) fn resolve(mountpoint: &Path) -> Result<PathBuf> {
    let absolute = path::absolute(mountpoint)
        .with_context(|| format!("cannot find {}", mountpoint.display()))?;
    let mut ancestors = absolute.ancestors();
    let found = ancestors.find_map(|path| Some((path, path.canonicalize().ok()?)));
    let Some((existing, mut resolved)) = found else {
        return Ok(absolute);
    };
    let rest = absolute
        .strip_prefix(existing)
        .expect("an ancestor is a prefix");
    if steps_back(rest) {
        return Ok(absolute);
    }
    resolved.extend(rest.components());
    Ok(resolved)
}

/// Whether there is a `..` in a path.
pub(crate) fn steps_back(path: &Path) -> bool {
    path.components().any(|part| part == Component::ParentDir)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn links_are_resolved_as_far_as_the_path_is_there() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        fs::create_dir(top.join("real")).unwrap();
        symlink(top.join("real"), top.join("link")).unwrap();
        for (given, expected) in [
            ("link", "real"),
            ("link/", "real"),
            ("link/a/b/", "real/a/b"),
            ("link/../real/a", "real/a"),
            ("link/a/../b", "link/a/../b"),
        ] {
            let resolved = resolve(&top.join(given)).unwrap();
            assert_eq!(resolved.as_os_str(), top.join(expected).as_os_str());
        }
    }
}
