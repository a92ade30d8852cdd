//! Linking the files of a repository into the directory of a snapshot.

use std::{
    fs::{self, File},
    io,
    os::{fd::AsRawFd, unix::fs::symlink},
    path::Path,
};

use rustix::fs::{AtFlags, CWD, ioctl_ficlone, linkat};

use super::survey::{Attempt, Survey, SurveyError};
use crate::{
    error::Error,
    git::{private, wall::Wall},
};

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
pub(super) fn link_all(directory: &Path, survey: &Survey, wall: &Wall) -> Attempt<()> {
    let mut large = Vec::new();
    for (line, source) in survey.manifest.files.iter().zip(&survey.sources) {
        let target = directory.join(&line.path);
        if let Some(parent) = target.parent() {
            private::create_dir_all(parent).map_err(|error| Error::io("create", parent, error))?;
        }
        let wall = if survey.has_made(source) {
            &Wall::none()
        } else {
            wall
        };
        let from = wall.open(source);
        let mut from = from.map_err(|error| unreadable(source, error))?;
        if share(&from, &target)? {
            continue;
        }
        // Loose objects are many, and rarely large.
        if line.size > COPY_LIMIT && line.path.starts_with("pack/") {
            large.push((line.size, source, target));
        } else {
            copy(&mut from, &target)?;
        }
    }
    large.sort_by(|(one, ..), (other, ..)| other.cmp(one));
    for (at, (_, source, target)) in large.into_iter().enumerate() {
        if at < MAX_SYMLINKS {
            symlink_to(source, &target, wall)?;
        } else {
            let from = wall.open(source);
            copy(
                &mut from.map_err(|error| unreadable(source, error))?,
                &target,
            )?;
        }
    }
    for required in ["pack", "info"] {
        let path = directory.join(required);
        private::create_dir_all(&path).map_err(|error| Error::io("create", &path, error))?;
    }
    Ok(())
}

/// Makes `target` a hard link to an open file, else a clone; `false` if it can be
/// neither. The file is linked that was opened, and no other that has its path
/// meanwhile.
fn share(source: &File, target: &Path) -> Attempt<bool> {
    let path = format!("/proc/self/fd/{}", source.as_raw_fd());
    // On another file system, of another owner, with too many links, or removed.
    if linkat(CWD, path, CWD, target, AtFlags::SYMLINK_FOLLOW).is_ok() {
        return Ok(true);
    }
    let to = create(target)?;
    if ioctl_ficlone(&to, source).is_ok() {
        return Ok(true);
    }
    fs::remove_file(target).map_err(|error| Error::io("remove", target, error))?;
    Ok(false)
}

fn copy(source: &mut File, target: &Path) -> Attempt<()> {
    let mut to = create(target)?;
    io::copy(source, &mut to).map_err(|error| Error::io("write", target, error))?;
    Ok(())
}

fn symlink_to(source: &Path, target: &Path, wall: &Wall) -> Attempt<()> {
    let source = wall
        .admit(source)
        .map_err(|error| unreadable(source, error))?;
    symlink(source, target).map_err(|error| Error::io("write", target, error))?;
    Ok(())
}

fn create(target: &Path) -> Attempt<File> {
    let created = private::create_new(target);
    Ok(created.map_err(|error| Error::io("write", target, error))?)
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
