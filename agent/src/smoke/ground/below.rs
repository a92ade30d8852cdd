//! Files of a view, which codex may have made into anything: read and written
//! as root, but never through a link, and never more than a little.

use std::{
    fs::File,
    io::{Read, Write},
    path::Path,
};

use anyhow::{Context, Result, ensure};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

/// No file of an exercise comes near it.
const LONGEST: u64 = 1 << 20;

/// What a file says.
///
/// # Errors
///
/// When it is gone, no file, too long, or behind a link.
pub(super) fn read(view: &Path, name: &str) -> Result<Vec<u8>> {
    let file = open(view, name, OFlags::RDONLY | OFlags::NONBLOCK)?;
    let is_file = file.metadata()?.is_file();
    ensure!(is_file, "{name} is no file any more");
    let mut bytes = Vec::new();
    let length = file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    ensure!(u64::try_from(length)? <= LONGEST, "{name} is too long");
    Ok(bytes)
}

/// Gives a file this content; it is there.
///
/// # Errors
///
/// When it is not, or behind a link.
pub(super) fn write(view: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let mut file = open(view, name, OFlags::WRONLY | OFlags::NONBLOCK)?;
    ensure!(file.metadata()?.is_file(), "{name} is no file any more");
    file.set_len(0)?;
    Ok(file.write_all(bytes)?)
}

fn open(view: &Path, name: &str, how: OFlags) -> Result<File> {
    let below = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let folder = openat2(
        CWD,
        view,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::empty(),
    )?;
    let opened = openat2(&folder, name, how | OFlags::CLOEXEC, Mode::empty(), below);
    let opened = opened.with_context(|| format!("{name} is gone, or a link"))?;
    Ok(opened.into())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::{LONGEST, read, write};

    #[test]
    fn a_file_is_read_and_written_but_not_behind_a_link() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let view = folder.path();
        let secret = outside.path().join("secret");
        fs::write(&secret, "secret").unwrap();
        fs::create_dir(view.join("lib")).unwrap();
        fs::write(view.join("lib/file"), "longer than that").unwrap();
        write(view, "lib/file", b"short").unwrap();
        assert_eq!(read(view, "lib/file").unwrap(), b"short");
        symlink(&secret, view.join("link")).unwrap();
        symlink(outside.path(), view.join("folder")).unwrap();
        for name in ["link", "folder/secret", "../secret", "lib", "missing"] {
            assert!(read(view, name).is_err(), "{name}");
            assert!(write(view, name, b"changed").is_err(), "{name}");
        }
        assert_eq!(fs::read(&secret).unwrap(), b"secret");
    }

    #[test]
    fn what_never_ends_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let long = fs::File::create(folder.path().join("long")).unwrap();
        long.set_len(LONGEST + 1).unwrap();
        assert!(read(folder.path(), "long").is_err());
    }
}
