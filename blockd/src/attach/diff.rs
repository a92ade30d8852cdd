//! The diff: what was changed here, in an upper layer of overlayfs.

use std::{
    fs::{self, Metadata, Permissions},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
};

use anyhow::{Context, Result};
use rustix::fs::lgetxattr;

use super::place::Place;

/// Makes the layers ready; whether there were changes from before.
pub(super) fn prepare(place: &Place, root: &Metadata, owner: (u32, u32)) -> Result<bool> {
    if has_changes(place) {
        return Ok(true);
    }
    discard(place)?;
    let upper = place.upper();
    let make = || {
        fs::create_dir_all(&upper)?;
        fs::create_dir_all(place.work())?;
        chown(&upper, Some(owner.0), Some(owner.1))?;
        fs::set_permissions(&upper, Permissions::from_mode(root.mode() & 0o7777))
    };
    make().with_context(|| format!("cannot make the upper layer {}", upper.display()))?;
    Ok(false)
}

/// Whether anything was changed in this place's upper layer.
pub(super) fn has_changes(place: &Place) -> bool {
    let upper = place.upper();
    upper.exists() && !has_only_copies(&upper).unwrap_or(false)
}

/// A lock file that comes and goes, as every `git status` makes one, leaves
/// copies of directories of the lower layer and nothing in them.
fn has_only_copies(directory: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        if !entry.file_type()?.is_dir() || !is_copy(&path) || !has_only_copies(&path)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a directory of the upper layer stands for the one below and no
/// other: it knows where it comes from, was not renamed, hides nothing.
fn is_copy(directory: &Path) -> bool {
    let has = |name| lgetxattr(directory, name, &mut [0_u8; 0][..]).is_ok();
    has("trusted.overlay.origin")
        && !has("trusted.overlay.redirect")
        && !has("trusted.overlay.opaque")
}

/// Throws the changes away.
pub(super) fn discard(place: &Place) -> Result<()> {
    for layer in [place.upper(), place.work()] {
        match fs::remove_dir_all(&layer) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", layer.display()));
            }
            _ => {}
        }
    }
    Ok(())
}
