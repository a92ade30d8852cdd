//! Reading and writing files of a view as root. Codex may have replaced them with
//! anything: nothing is reached through a symbolic link, and only so much is read.

use std::{
    fs::File,
    io::{Read, Write},
    os::unix::fs::fchown,
    path::Path,
};

use anyhow::{Context, Result, ensure};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, openat2, unlinkat};

use crate::machine::user::User;

/// The size of a file, in bytes, that is still read; those of exercises are far
/// smaller.
const MAX_FILE: u64 = 1 << 20;

/// Reads a file.
///
/// # Errors
///
/// When it is gone, is not a regular file, is too large, or behind a link.
pub(super) fn read(view: &Path, name: &Path) -> Result<Vec<u8>> {
    let file = open(view, name, OFlags::RDONLY | OFlags::NONBLOCK)?;
    let is_file = file.metadata()?.is_file();
    ensure!(is_file, "{} is not a regular file", name.display());
    let mut bytes = Vec::new();
    let length = file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    ensure!(
        u64::try_from(length)? <= MAX_FILE,
        "{} is larger than {MAX_FILE} bytes",
        name.display()
    );
    Ok(bytes)
}

/// Replaces the content of a file.
///
/// # Errors
///
/// When it is gone, is not a regular file, or is behind a link.
pub(super) fn write(view: &Path, name: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = open(view, name, OFlags::WRONLY | OFlags::NONBLOCK)?;
    let is_file = file.metadata()?.is_file();
    ensure!(is_file, "{} is not a regular file", name.display());
    file.set_len(0)?;
    Ok(file.write_all(bytes)?)
}

/// Creates a file, which belongs to this user.
///
/// # Errors
///
/// When there is something of the name, or a link on the way.
pub(super) fn create(view: &Path, name: &Path, bytes: &[u8], user: User) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    let mut file = open(view, name, flags)?;
    file.write_all(bytes)?;
    Ok(fchown(&file, Some(user.uid), Some(user.gid))?)
}

/// Removes a name, and follows no link.
///
/// # Errors
///
/// When there is none, or it is a directory.
pub(super) fn remove(view: &Path, name: &str) -> Result<()> {
    ensure!(!name.contains('/'), "{name} is no name");
    let folder = openat2(CWD, view, FOLDER, Mode::empty(), ResolveFlags::empty())?;
    Ok(unlinkat(&folder, name, AtFlags::empty())?)
}

const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

fn open(view: &Path, name: &Path, flags: OFlags) -> Result<File> {
    let below = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let folder = openat2(CWD, view, FOLDER, Mode::empty(), ResolveFlags::empty())?;
    // A mode is taken only where a file is made.
    let mode = if flags.contains(OFlags::CREATE) {
        Mode::from_raw_mode(0o644)
    } else {
        Mode::empty()
    };
    let opened = openat2(&folder, name, flags | OFlags::CLOEXEC, mode, below);
    let opened = opened.with_context(|| {
        format!(
            "{} is not there as it should be, or behind a link",
            name.display()
        )
    })?;
    Ok(opened.into())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::Path};

    use super::{MAX_FILE, User, create, read, remove, write};

    #[test]
    fn a_file_is_read_and_written_but_not_behind_a_link() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let view = folder.path();
        let secret = outside.path().join("secret");
        fs::write(&secret, "secret").unwrap();
        fs::create_dir(view.join("lib")).unwrap();
        fs::write(view.join("lib/file"), "longer than that").unwrap();
        write(view, Path::new("lib/file"), b"short").unwrap();
        assert_eq!(read(view, Path::new("lib/file")).unwrap(), b"short");
        symlink(&secret, view.join("link")).unwrap();
        symlink(outside.path(), view.join("folder")).unwrap();
        for name in ["link", "folder/secret", "../secret", "lib", "missing"] {
            assert!(read(view, Path::new(name)).is_err(), "{name}");
            assert!(write(view, Path::new(name), b"changed").is_err(), "{name}");
        }
        assert_eq!(fs::read(&secret).unwrap(), b"secret");
    }

    #[test]
    fn a_file_is_made_and_removed_but_never_behind_a_link() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (view, own) = (folder.path(), User::current());
        let planted = outside.path().join("planted");
        symlink(&planted, view.join("new")).unwrap();
        assert!(create(view, Path::new("new"), b"x", own).is_err());
        assert!(!planted.exists());
        symlink(outside.path(), view.join("folder")).unwrap();
        assert!(create(view, Path::new("folder/new"), b"x", own).is_err());
        remove(view, "new").unwrap();
        create(view, Path::new("new"), b"x", own).unwrap();
        assert_eq!(read(view, Path::new("new")).unwrap(), b"x");
        remove(view, "new").unwrap();
        assert!(remove(view, "folder/x").is_err());
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let long = fs::File::create(folder.path().join("long")).unwrap();
        long.set_len(MAX_FILE + 1).unwrap();
        assert!(read(folder.path(), Path::new("long")).is_err());
    }
}
