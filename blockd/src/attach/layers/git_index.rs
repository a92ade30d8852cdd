//! git's index in an upper layer: git writes it for what it has found out about files,
//! also where nothing was changed.

use std::{
    ffi::CStr,
    fs::{self, File},
    io::{self, Read},
    os::fd::OwnedFd,
    path::Path,
};

use rustix::{
    fs::{AtFlags, Mode, OFlags, openat, unlinkat},
    io::Errno,
};

use super::{beneath, upper::OverlayDirs};
use crate::fsmonitor;

const INDEX: &CStr = c"index";
/// How much longer than the index of the image one with the same entries may be.
const MORE: u64 = 16 << 20;

/// Whether an upper layer has an index with the entries of the image's, which is mounted
/// at `lower`. Ids are `id_length` bytes long.
///
/// # Errors
///
/// When the upper layer or the index of the image cannot be read.
pub(crate) fn is_unchanged(dirs: &OverlayDirs, lower: &Path, id_length: usize) -> io::Result<bool> {
    let Some(directory) = open_dot_git(dirs)? else {
        return Ok(false);
    };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat(directory, INDEX, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let of_image = lower.join(".git/index");
    let most = of_image.metadata()?.len() + MORE;
    let found = file.metadata()?;
    if !found.is_file() || found.len() > most {
        return Ok(false);
    }
    let mut now = Vec::new();
    file.take(most).read_to_end(&mut now)?;
    let before = fs::read(of_image)?;
    Ok(fsmonitor::have_same_entries(now, before, id_length))
}

/// Removes the index from an upper layer that is not mounted: the image's is then git's.
///
/// # Errors
///
/// When it cannot be removed.
pub(crate) fn remove(dirs: &OverlayDirs) -> io::Result<()> {
    if let Some(directory) = open_dot_git(dirs)? {
        unlinkat(directory, INDEX, AtFlags::empty())?;
    }
    Ok(())
}

fn open_dot_git(dirs: &OverlayDirs) -> io::Result<Option<OwnedFd>> {
    match beneath::open_root(&dirs.upper)? {
        Some(root) => beneath::open_directory(root, ".git"),
        None => Ok(None),
    }
}
