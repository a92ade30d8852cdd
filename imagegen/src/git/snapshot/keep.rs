//! Files of a served repository kept in a directory of ours.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::symlink,
    path::Path,
};

use rustix::fs::{AtFlags, CWD, ioctl_ficlone, linkat};

use super::survey::{Attempt, Survey, Trouble};
use crate::error::Error;

/// A file that can be neither linked nor cloned is copied up to this size.
const COPY_LIMIT: u64 = 1 << 20;

/// Fills `directory` with all files of the survey.
pub(super) fn fill(directory: &Path, survey: &Survey) -> Attempt<()> {
    for (line, place) in survey.manifest.files.iter().zip(&survey.places) {
        let kept = directory.join(&line.path);
        if let Some(parent) = kept.parent() {
            fs::create_dir_all(parent).map_err(|error| Error::io("make", parent, error))?;
        }
        keep(place, &kept, line.size)?;
    }
    for must in ["pack", "info"] {
        let path = directory.join(must);
        fs::create_dir_all(&path).map_err(|error| Error::io("make", &path, error))?;
    }
    Ok(())
}

/// Makes `kept` the same file as `place`: a hard link, else a clone that
/// shares its blocks, else, when it is large, a symlink to what has to be held
/// open.
fn keep(place: &Path, kept: &Path, size: u64) -> Attempt<()> {
    match linkat(CWD, place, CWD, kept, AtFlags::SYMLINK_FOLLOW) {
        Ok(()) => return Ok(()),
        Err(rustix::io::Errno::NOENT) => return Err(Trouble::Vanished),
        // Another file system, another owner, too many links.
        Err(_) => {}
    }
    let mut from = match File::open(place) {
        Ok(from) => from,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Trouble::Vanished),
        Err(error) => return Err(Error::io("read", place, error).into()),
    };
    let failed = |error| Error::io("write", kept, error);
    let mut to = File::create_new(kept).map_err(failed)?;
    if ioctl_ficlone(&to, &from).is_ok() {
        return Ok(());
    }
    if size <= COPY_LIMIT {
        io::copy(&mut from, &mut to).map_err(failed)?;
        return Ok(());
    }
    drop(to);
    fs::remove_file(kept).map_err(failed)?;
    let place = fs::canonicalize(place).map_err(|error| Error::io("find", place, error))?;
    symlink(place, kept).map_err(failed)?;
    Ok(())
}

/// Whether the file is only pointed at.
pub(super) fn is_borrowed(kept: &Path) -> bool {
    fs::symlink_metadata(kept).is_ok_and(|about| about.is_symlink())
}
