//! The option `volatile` of the overlay (Documentation/filesystems/overlayfs.rst):
//! nothing that is written is synced, neither by fsync(2) nor when a file is copied
//! up.
//!
//! The kernel marks the work directory, and refuses to mount what has the mark. After
//! a crash of the machine that proves nothing: the mark is synced no more than the
//! rest, and it stays after a clean unmount. What counts is the record, which is
//! synced before the mount and names the boot.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use anyhow::{Context, Result};
use rustix::fs::syncfs;

use super::{
    holders::{Holder, find_in_other_namespace},
    overlay,
    upper::OverlayDirs,
};
use crate::attach::state::attachment_dir::AttachmentDir;

/// Makes the record durable as far as it is not: the directories above it, which may
/// have been made a moment ago.
///
/// # Errors
///
/// When one of them cannot be synced.
pub(crate) fn sync_directories(dir: &AttachmentDir) -> Result<()> {
    let path = dir.path();
    let above = path.ancestors().skip(1);
    // Above the state directory, one more has its name.
    for directory in above.take(3) {
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.with_context(|| format!("cannot sync {}", directory.display()))?;
    }
    Ok(())
}

/// Writes an upper layer to storage that was mounted volatile during this boot, and
/// removes the mark. Where another mount namespace still has the mount, nothing is
/// done, and a process of that is returned.
///
/// # Errors
///
/// When the file system cannot be synced: changes may then be lost; or when the mark
/// cannot be removed.
pub(crate) fn sync(dir: &AttachmentDir) -> Result<Option<Holder>> {
    let is_own = |mount: &_| overlay::is_of(dir, mount);
    if let Some(holder) = find_in_other_namespace(Path::new("/proc"), is_own)? {
        return Ok(Some(holder));
    }
    let path = dir.path();
    tracing::info!("writing the changes to storage (--volatile)");
    let synced = File::open(&path).and_then(|directory| Ok(syncfs(directory)?));
    synced.with_context(|| format!("cannot write {} to storage", path.display()))?;
    remove_mark(dir)?;
    Ok(None)
}

/// Removes the mark of the kernel, so that the layer can be mounted.
///
/// # Errors
///
/// When it is there and cannot be removed.
pub(crate) fn remove_mark(dir: &AttachmentDir) -> Result<()> {
    let OverlayDirs { work, .. } = OverlayDirs::in_directory(&dir.path());
    let mark = work.join("work/incompat");
    match fs::remove_dir_all(&mark) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", mark.display()))
        }
        _ => Ok(()),
    }
}
