//! Linking the files of a repository into the directory of a snapshot.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::symlink,
    path::Path,
};

use rustix::fs::{AtFlags, CWD, ioctl_ficlone, linkat};

use super::survey::{Attempt, Survey, SurveyError};
use crate::error::Error;

/// The largest file in bytes that is always copied if it can be neither linked
/// nor cloned.
const COPY_LIMIT: u64 = 1 << 20;

/// How many files of a snapshot are symlinks at most, the largest ones: each has
/// to be held open. All others are copied.
const MAX_SYMLINKS: usize = 32;

/// Links all files of the survey into `directory`.
///
/// A file becomes the same file as the one of the repository: a hard link, else
/// a clone that shares its blocks, else a copy, or for a large pack a symlink.
pub(super) fn link_all(directory: &Path, survey: &Survey) -> Attempt<()> {
    let mut large = Vec::new();
    for (line, source) in survey.manifest.files.iter().zip(&survey.sources) {
        let target = directory.join(&line.path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(|error| Error::io("create", parent, error))?;
        }
        if share(source, &target)? {
            continue;
        }
        // Loose objects are many, and rarely large.
        if line.size > COPY_LIMIT && line.path.starts_with("pack/") {
            large.push((line.size, source, target));
        } else {
            copy(source, &target)?;
        }
    }
    large.sort_by(|(one, ..), (other, ..)| other.cmp(one));
    for (at, (_, source, target)) in large.into_iter().enumerate() {
        if at < MAX_SYMLINKS {
            symlink_to(source, &target)?;
        } else {
            copy(source, &target)?;
        }
    }
    for required in ["pack", "info"] {
        let path = directory.join(required);
        fs::create_dir_all(&path).map_err(|error| Error::io("create", &path, error))?;
    }
    Ok(())
}

/// Makes `target` a hard link to `source`, else a clone; `false` if it can be
/// neither.
fn share(source: &Path, target: &Path) -> Attempt<bool> {
    match linkat(CWD, source, CWD, target, AtFlags::SYMLINK_FOLLOW) {
        Ok(()) => return Ok(true),
        Err(rustix::io::Errno::NOENT) => return Err(SurveyError::Vanished),
        // Another file system, another owner, too many links.
        Err(_) => {}
    }
    let (from, to) = open_both(source, target)?;
    if ioctl_ficlone(&to, &from).is_ok() {
        return Ok(true);
    }
    fs::remove_file(target).map_err(|error| Error::io("remove", target, error))?;
    Ok(false)
}

fn copy(source: &Path, target: &Path) -> Attempt<()> {
    let (mut from, mut to) = open_both(source, target)?;
    io::copy(&mut from, &mut to).map_err(|error| Error::io("write", target, error))?;
    Ok(())
}

fn symlink_to(source: &Path, target: &Path) -> Attempt<()> {
    let source = fs::canonicalize(source).map_err(|error| unreadable(source, error))?;
    symlink(source, target).map_err(|error| Error::io("write", target, error))?;
    Ok(())
}

fn open_both(source: &Path, target: &Path) -> Attempt<(File, File)> {
    let from = File::open(source).map_err(|error| unreadable(source, error))?;
    let to = File::create_new(target).map_err(|error| Error::io("write", target, error))?;
    Ok((from, to))
}

fn unreadable(source: &Path, error: io::Error) -> SurveyError {
    match error.kind() {
        io::ErrorKind::NotFound => SurveyError::Vanished,
        _ => SurveyError::Failed(Error::io("read", source, error)),
    }
}

/// Whether a file of a snapshot is a symlink to the repository's own file.
pub(super) fn is_symlink(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}
