//! The directories of a mountpoint's path that attach makes, as `git clone` does, and
//! detach removes.
//!
//! They are looked up from the directory above them: whoever may rename directories
//! there must not make root remove others.

use std::{ffi::OsStr, io, num::NonZeroUsize, path::Path};

use rustix::{
    fs::{AtFlags, Mode, OFlags, mkdirat, openat, unlinkat},
    io::Errno,
};

use super::target;

/// How many directories at the end of a canonical path are not there; `None` when all
/// are.
///
/// # Errors
///
/// Those of lstat(2), except ENOENT.
pub(crate) fn missing(path: &Path) -> io::Result<Option<NonZeroUsize>> {
    let mut count = 0;
    for ancestor in path.ancestors() {
        match ancestor.symlink_metadata() {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound => count += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(NonZeroUsize::new(count))
}

/// Makes the last `count` directories of a canonical path, with the mode that the umask
/// leaves. Those that are there by now are not changed.
///
/// # Errors
///
/// Those of openat2(2) and mkdir(2).
pub(crate) fn make(path: &Path, count: NonZeroUsize) -> io::Result<()> {
    let above = path.ancestors().nth(count.get()).ok_or(Errno::NOENT)?;
    let mut directory = target::open(above)?;
    let names: Vec<&OsStr> = path.iter().skip(above.iter().count()).collect();
    for name in names {
        match mkdirat(&directory, name, Mode::from(0o777)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        directory = openat(&directory, name, flags, Mode::empty())?;
    }
    Ok(())
}

/// Removes the last `count` directories of a canonical path, from the last on, up to
/// one that holds something or is a mountpoint.
///
/// # Errors
///
/// Those of openat2(2) and rmdir(2), except ENOENT, ENOTEMPTY and EBUSY.
pub(crate) fn remove(path: &Path, count: NonZeroUsize) -> io::Result<()> {
    for path in path.ancestors().take(count.get()) {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(());
        };
        let removed =
            target::open(parent).and_then(|parent| unlinkat(parent, name, AtFlags::REMOVEDIR));
        match removed {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn what_was_made_is_removed_as_far_as_it_is_empty() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        let path = top.join("a/b/c");
        assert_eq!(missing(&top).unwrap(), None);
        let three = missing(&path).unwrap().unwrap();
        assert_eq!(three.get(), 3);
        make(&path, three).unwrap();
        assert!(path.is_dir());
        fs::write(top.join("a/other"), "").unwrap();
        remove(&path, three).unwrap();
        assert!(!top.join("a/b").exists());
        assert!(top.join("a/other").exists());
        remove(&path, three).unwrap();
    }

    #[test]
    fn nothing_is_made_or_removed_behind_a_link() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        fs::create_dir_all(top.join("other/m")).unwrap();
        symlink(top.join("other"), top.join("a")).unwrap();
        let one = NonZeroUsize::MIN;
        remove(&top.join("a/m"), one).unwrap_err();
        make(&top.join("a/n"), one).unwrap_err();
        assert!(top.join("other/m").is_dir() && !top.join("other/n").exists());
    }
}
