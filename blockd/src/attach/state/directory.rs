//! The state directory: its format, and JSON files in it that survive a crash.
//!
//! ```text
//! STATE/version          the number of this format
//!       lowers/KEY/      one lower layer (`lower_dir`)
//!       places/KEY/      one mountpoint (`attachment_dir`)
//!       discarded/KEY/   what is being removed of it
//!       servers/KEY/     the server of a repository on this host (`local_server`)
//! ```

use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process,
};

use anyhow::{Context, Result, bail};
use rustix::{fs::Mode, process::geteuid};
use serde::{Serialize, de::DeserializeOwned};

use crate::atomic_file::{self, no_follow};

/// The format of the directory. It is raised when an older blockd could not use
/// the directory of a newer one.
const FORMAT: &str = "2";
/// A directory that format 1 had, in which there was no file `version`.
const FORMAT_1_DIRECTORY: &str = "attachments";

/// Makes a state directory, or checks the format of the one that is there;
/// returns its canonical path.
///
/// # Errors
///
/// When it has another format or cannot be made.
pub(crate) fn open(state: &Path) -> Result<PathBuf> {
    check(state)?;
    check_owner(state)?;
    let version = version_file(state);
    let make = || {
        if !version.exists() {
            private_directory(state)?;
            // Several processes may do this at once: all write the same.
            let temporary = state.join(format!("version.new-{}", process::id()));
            atomic_file::replace(&version, &temporary, |mut file| {
                file.write_all(FORMAT.as_bytes())
            })?;
        }
        state.canonicalize()
    };
    make().with_context(|| {
        let state = state.display();
        format!("cannot make the state directory {state}: choose another with --state")
    })
}

/// The canonical path of a state directory; `None` when there is none.
///
/// # Errors
///
/// When it has another format or cannot be read.
pub(crate) fn find(state: &Path) -> Result<Option<PathBuf>> {
    check(state)?;
    check_owner(state)?;
    match state.canonicalize() {
        Ok(state) => Ok(Some(state)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", state.display())),
    }
}

/// Whether a write failed since the file system is full, or a quota is reached.
pub(crate) fn is_full(error: &anyhow::Error) -> bool {
    let is_full = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    };
    error
        .chain()
        .any(|cause| cause.downcast_ref().is_some_and(is_full))
}

/// Fails when there is a state directory of another format.
fn check(state: &Path) -> Result<()> {
    let shown = state.display();
    let found = match fs::read_to_string(version_file(state)) {
        Ok(found) => found.trim().to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if !state.join(FORMAT_1_DIRECTORY).exists() {
                return Ok(());
            }
            "1".to_owned()
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {shown}")),
    };
    if found != FORMAT {
        bail!(
            "the state directory {shown} has format {found}, this blockd has format {FORMAT}: \
             detach with the blockd that made it, or choose another with --state"
        );
    }
    Ok(())
}

/// Fails when somebody else may write into the state directory: what is in it says
/// what root mounts, unmounts and removes.
fn check_owner(state: &Path) -> Result<()> {
    let shown = state.display();
    let found = match fs::metadata(state) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {shown}")),
    };
    let user = geteuid().as_raw();
    // Others of the group may write into it, or everybody. An empty one that is to be
    // used is made private.
    let is_shared = found.mode() & 0o022 != 0;
    let is_empty = || list_directory(state).is_ok_and(|mut entries| entries.next().is_none());
    if found.uid() != user || (is_shared && !is_empty()) {
        bail!(
            "the state directory {shown} is not this user's alone (owner {}, mode {:o}): others \
             could say what is mounted and removed. Give it to user {user} with mode 700, or \
             choose another with --state",
            found.uid(),
            found.mode() & 0o7777
        );
    }
    Ok(())
}

fn version_file(state: &Path) -> PathBuf {
    state.join("version")
}

/// Makes a directory that only its owner may enter, and whom an access control list
/// lets through: files of an upper layer must not be reached around the permissions
/// of the overlay.
///
/// # Errors
///
/// Those of mkdir(2) and chmod(2).
pub(crate) fn private_directory(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)?;
    // With such a list, the group's bits are the most that the list may allow.
    if fs::metadata(path)?.mode() & 0o7767 == 0o700 {
        return Ok(());
    }
    Ok(rustix::fs::chmod(path, Mode::RWXU)?)
}

/// Reads a file that [`write()`] wrote; `None` when there is none.
///
/// # Errors
///
/// When it cannot be read or parsed.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let mut text = Vec::new();
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(no_follow());
    let read = options
        .open(path)
        .and_then(|mut file| file.read_to_end(&mut text));
    match read {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
    let parsed = serde_json::from_slice(&text);
    let parsed = parsed.with_context(|| format!("{} is not a record of blockd", path.display()))?;
    Ok(Some(parsed))
}

/// Writes a file so that a crash leaves the old one or the new one. A lock must
/// be held.
///
/// # Errors
///
/// When it cannot be written; the old file is then still there.
pub(crate) fn write(path: &Path, content: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(content)?;
    text.push(b'\n');
    let replaced = atomic_file::replace(path, &temporary(path), |mut file| file.write_all(&text));
    replaced.with_context(|| {
        format!(
            "cannot write {}: make room there, or choose another directory with --state",
            path.display()
        )
    })
}

/// Removes a file that [`write()`] wrote, and one that it did not complete.
///
/// # Errors
///
/// Those of [`remove_file`].
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    remove_file(&temporary(path))?;
    remove_file(path)
}

fn temporary(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// Removes a file, if it is there.
///
/// # Errors
///
/// Those of unlink(2), except ENOENT.
pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a directory, if it is there and neither holds anything nor is a
/// mountpoint.
///
/// # Errors
///
/// Those of rmdir(2), except ENOENT, ENOTEMPTY and EBUSY.
pub(crate) fn remove_empty_directory(path: &Path) -> io::Result<()> {
    match fs::remove_dir(path) {
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::DirectoryNotEmpty
                    | io::ErrorKind::ResourceBusy
            ) =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
}

/// The names of the directories below `STATE/what`, sorted; none when `what` is
/// not there. A name that is not UTF-8 is none of blockd's, and left out.
///
/// # Errors
///
/// When the directory cannot be listed.
pub(crate) fn entries(state: &Path, what: &str) -> Result<Vec<String>> {
    let directory = state.join(what);
    let list = || -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in list_directory(&directory)? {
            names.extend(entry?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    };
    list().with_context(|| format!("cannot list {}", directory.display()))
}

/// The entries of a directory; none when it is not there.
///
/// # Errors
///
/// Those of opendir(3), except ENOENT.
pub(crate) fn list_directory(
    path: &Path,
) -> io::Result<impl Iterator<Item = io::Result<fs::DirEntry>> + use<>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => Some(entries),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    Ok(entries.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_directory_of_another_format_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        assert_eq!(find(&state).unwrap(), None);
        open(&state).unwrap();
        open(&state).unwrap();
        assert!(find(&state).unwrap().is_some());
        fs::write(state.join("version"), "7\n").unwrap();
        let error = open(&state).unwrap_err().to_string();
        assert!(
            error.contains("has format 7, this blockd has format 2"),
            "{error}"
        );
        fs::remove_file(state.join("version")).unwrap();
        fs::create_dir(state.join("attachments")).unwrap();
        let error = check(&state).unwrap_err().to_string();
        assert!(error.contains("has format 1"), "{error}");
    }

    #[test]
    fn a_directory_that_others_write_to_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        open(&state).unwrap();
        rustix::fs::chmod(&state, Mode::from(0o770)).unwrap();
        for error in [open(&state).unwrap_err(), find(&state).unwrap_err()] {
            let error = error.to_string();
            assert!(error.contains("not this user's alone"), "{error}");
        }
    }

    #[test]
    fn a_record_is_no_link() {
        let directory = tempfile::tempdir().unwrap();
        let (link, other) = (directory.path().join("x.json"), directory.path().join("y"));
        fs::write(&other, "7").unwrap();
        symlink(&other, &link).unwrap();
        read::<u32>(&link).unwrap_err();
        symlink(&other, link.with_extension("new")).unwrap();
        write(&link, &8).unwrap_err();
        assert_eq!(fs::read_to_string(other).unwrap(), "7");
    }

    #[test]
    fn a_file_that_is_not_a_record_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("x.json");
        assert_eq!(read::<u32>(&file).unwrap(), None);
        write(&file, &7).unwrap();
        assert_eq!(read::<u32>(&file).unwrap(), Some(7));
        fs::write(&file, "{").unwrap();
        let error = read::<u32>(&file).unwrap_err().to_string();
        assert!(error.contains("is not a record of blockd"), "{error}");
        assert_eq!(entries(directory.path(), "").unwrap(), ["x.json"]);
        remove(&file).unwrap();
        remove(&file).unwrap();
        assert_eq!(entries(directory.path(), "").unwrap(), [""; 0]);
        assert_eq!(entries(directory.path(), "missing").unwrap(), [""; 0]);
    }

    #[test]
    fn a_directory_that_holds_something_is_not_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        fs::create_dir_all(path.join("b")).unwrap();
        remove_empty_directory(&path).unwrap();
        assert!(path.join("b").exists());
        remove_empty_directory(&path.join("b")).unwrap();
        remove_empty_directory(&path.join("b")).unwrap();
        assert!(!path.join("b").exists());
    }
}
