//! The place of the state directory. Overlayfs accepts no upper layer on another
//! overlay, which the root file system of a Fly machine is.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, mount};
use tracing::{info, warn};

/// File systems that may not be an overlay, and the state directory on each: a
/// volume, where there is one; else the ext4 below the root's overlay.
const CANDIDATES: [(&str, &str); 2] = [
    ("/data", "/data/agent"),
    ("/.fly-upper-layer", "/.fly-upper-layer/agent"),
];
/// The state directory where there is no such file system.
const FALLBACK: &str = "/var/lib/agent";

/// `f_type` of overlayfs (`linux/magic.h`).
const OVERLAYFS_SUPER_MAGIC: i128 = 0x794c_7630;

/// Creates a state directory that may hold an upper layer: the one that is
/// given, or the first that this machine offers.
///
/// # Errors
///
/// When it cannot be created.
pub(super) fn state_directory(given: Option<&Path>) -> Result<PathBuf> {
    let directory = given.map_or_else(first_candidate, Path::to_owned);
    let shown = directory.display();
    fs::create_dir_all(&directory).with_context(|| format!("cannot create {shown}"))?;
    if is_overlay(&directory).with_context(|| format!("cannot look at {shown}"))? {
        warn!("{shown} is on an overlay: changes are in memory, and lost when this machine stops");
        let mounted = mount(
            "tmpfs",
            &directory,
            "tmpfs",
            MountFlags::NODEV,
            c"mode=0755",
        );
        mounted.with_context(|| format!("cannot mount a tmpfs at {shown}"))?;
    }
    info!("the state directory is {shown}");
    Ok(directory)
}

/// The first directory of this machine that may hold an upper layer.
fn first_candidate() -> PathBuf {
    let mut candidates = CANDIDATES.iter();
    // A file system that is not there, or not ours to look at, is no candidate.
    let found = candidates.find(|(root, _)| is_overlay(Path::new(root)).is_ok_and(|is| !is));
    found.map_or(FALLBACK, |(_, directory)| directory).into()
}

/// The state directory of blockd within ours.
pub(super) fn attach_directory(state: &Path) -> PathBuf {
    state.join("attach")
}

fn is_overlay(path: &Path) -> io::Result<bool> {
    let found = rustix::fs::statfs(path)?;
    Ok(i128::from(found.f_type) == OVERLAYFS_SUPER_MAGIC)
}
