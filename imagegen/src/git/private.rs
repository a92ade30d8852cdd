//! Directories and files that only their owner may use, whatever the umask: the
//! state has the packs of repositories that not everybody may read.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use rustix::process::geteuid;
use tempfile::TempDir;
use tracing::info;

const DIRECTORY: u32 = 0o700;
const FILE: u32 = 0o600;
/// Of everybody but the owner.
const OTHERS: u32 = 0o077;
/// Where everybody may make files: `/tmp`.
const STICKY: u32 = 0o1000;

/// Creates a directory, and those on the way to it.
pub(super) fn create_dir_all(path: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY)
        .create(path)
}

/// Creates a file, which must not exist.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE)
        .open(path)
}

/// A temporary directory.
pub(super) fn tempdir_in(directory: &Path, prefix: &str) -> io::Result<TempDir> {
    tempfile::Builder::new()
        .prefix(prefix)
        .permissions(Permissions::from_mode(DIRECTORY))
        .tempdir_in(directory)
}

/// Creates the state directory, or takes one that others may use away from
/// them. A directory of somebody else, and one in which everybody may make
/// files, stays as it is.
///
/// # Errors
///
/// It cannot be created, or changed.
pub fn state_directory(path: &Path) -> io::Result<()> {
    create_dir_all(path)?;
    let metadata = fs::metadata(path)?;
    let is_shared = metadata.mode() & STICKY != 0;
    if !is_shared && metadata.uid() == geteuid().as_raw() {
        take(path, &metadata)?;
    }
    Ok(())
}

/// Takes a directory of the state, and all below it, away from others. A file
/// with several names is another one's as well: the directory keeps it.
pub(super) fn repair(directory: &Path) -> io::Result<()> {
    if !take(directory, &fs::symlink_metadata(directory)?)? {
        return Ok(());
    }
    info!("{} was open to other users", directory.display());
    repair_below(directory)
}

fn repair_below(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let metadata = fs::symlink_metadata(&path)?;
        take(&path, &metadata)?;
        if metadata.is_dir() {
            repair_below(&path)?;
        }
    }
    Ok(())
}

/// Takes what others may do away from them; returns whether there was anything.
fn take(path: &Path, metadata: &fs::Metadata) -> io::Result<bool> {
    let kind = metadata.file_type();
    let is_own = kind.is_dir() || kind.is_file() && metadata.nlink() == 1;
    if !is_own || metadata.mode() & OTHERS == 0 {
        return Ok(false);
    }
    let mode = metadata.mode() & 0o7777 & !OTHERS;
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn what_others_could_read_they_cannot_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("state/snapshots/a");
        fs::create_dir_all(&home).unwrap();
        let (own, linked, foreign) = (home.join("own"), home.join("linked"), dir.path().join("f"));
        fs::write(&own, "x").unwrap();
        fs::write(&foreign, "x").unwrap();
        fs::hard_link(&foreign, &linked).unwrap();
        for path in [&own, &foreign] {
            fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
        }
        for path in [&home, home.parent().unwrap(), &dir.path().join("state")] {
            fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        }
        state_directory(&dir.path().join("state")).unwrap();
        repair(home.parent().unwrap()).unwrap();
        assert_eq!(mode(&dir.path().join("state")), 0o700);
        assert_eq!((mode(&home), mode(&own)), (0o700, 0o600));
        assert_eq!(mode(&foreign), 0o644, "it is the repository's, too");
    }

    #[test]
    fn a_directory_of_everybody_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o1777)).unwrap();
        state_directory(dir.path()).unwrap();
        assert_eq!(mode(dir.path()), 0o1777);
    }
}
