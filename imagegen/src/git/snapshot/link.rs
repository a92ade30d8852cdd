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

/// The largest file in bytes that is copied if it can be neither linked nor
/// cloned.
const COPY_LIMIT: u64 = 1 << 20;

/// Links all files of the survey into `directory`.
pub(super) fn link_all(directory: &Path, survey: &Survey) -> Attempt<()> {
    for (line, source) in survey.manifest.files.iter().zip(&survey.sources) {
        let target = directory.join(&line.path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(|error| Error::io("create", parent, error))?;
        }
        link(source, &target, line.size)?;
    }
    for required in ["pack", "info"] {
        let path = directory.join(required);
        fs::create_dir_all(&path).map_err(|error| Error::io("create", &path, error))?;
    }
    Ok(())
}

/// Makes `target` the same file as `source`: a hard link, else a clone that
/// shares its blocks, else a copy, or for a large file a symlink, whose target
/// has to be held open.
fn link(source: &Path, target: &Path, size: u64) -> Attempt<()> {
    match linkat(CWD, source, CWD, target, AtFlags::SYMLINK_FOLLOW) {
        Ok(()) => return Ok(()),
        Err(rustix::io::Errno::NOENT) => return Err(SurveyError::Vanished),
        // Another file system, another owner, too many links.
        Err(_) => {}
    }
    let mut from = match File::open(source) {
        Ok(from) => from,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(SurveyError::Vanished);
        }
        Err(error) => return Err(Error::io("read", source, error).into()),
    };
    let failed = |error| Error::io("write", target, error);
    let mut to = File::create_new(target).map_err(failed)?;
    if ioctl_ficlone(&to, &from).is_ok() {
        return Ok(());
    }
    if size <= COPY_LIMIT {
        io::copy(&mut from, &mut to).map_err(failed)?;
        return Ok(());
    }
    drop(to);
    fs::remove_file(target).map_err(failed)?;
    let source = fs::canonicalize(source).map_err(|error| Error::io("resolve", source, error))?;
    symlink(source, target).map_err(failed)?;
    Ok(())
}

/// Whether a file of a snapshot is a symlink to the repository's own file.
pub(super) fn is_symlink(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}
