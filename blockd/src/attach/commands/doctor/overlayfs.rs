//! Whether overlayfs works where changes would be kept.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::check::{Check, Health};
use crate::attach::{
    commands::privilege,
    layers::{device::probe, overlay, target::Target, upper::OverlayDirs},
};

const NAME: &str = "overlayfs";

pub(super) fn checks(state: &Path) -> Vec<Check> {
    if privilege::check(NAME).is_err() {
        return vec![Check::bad(
            NAME,
            Health::Warning,
            "cannot be checked without CAP_SYS_ADMIN",
            "sudo blockd doctor",
        )];
    }
    if !probe::has_file_system("overlay") {
        let fix = "modprobe overlay; or attach --read-only";
        return vec![Check::bad(
            NAME,
            Health::Fault,
            "this kernel has no overlayfs",
            fix,
        )];
    }
    match attempt(state) {
        Ok(warnings) if warnings.is_empty() => {
            let finding = "there, with metacopy, redirect_dir and xino";
            vec![Check::good(NAME, finding)]
        }
        Ok(warnings) => warnings.into_iter().map(limited).collect(),
        Err(error) => vec![Check::bad(
            NAME,
            Health::Fault,
            format!("{error:#}"),
            "blockd attach --state DIR on another file system, or --upper tmpfs",
        )],
    }
}

fn limited(warning: String) -> Check {
    let fix = "an upper layer on ext4, xfs or tmpfs, and Linux 4.19 or newer";
    Check::bad(NAME, Health::Warning, warning, fix)
}

/// Mounts an overlay in a directory of the file system where upper layers would be;
/// returns what it lacks.
fn attempt(state: &Path) -> Result<Vec<String>> {
    let existing = state.ancestors().find(|path| path.is_dir());
    let existing = existing.with_context(|| format!("cannot find {}", state.display()))?;
    let directory = tempfile::Builder::new()
        .prefix(".blockd-doctor-")
        .tempdir_in(existing)
        .with_context(|| format!("cannot write into {}", existing.display()))?;
    let path = directory.path().canonicalize()?;
    let dirs = OverlayDirs::in_directory(&path);
    let (lower, mountpoint) = (path.join("lower"), path.join("mountpoint"));
    for directory in [&lower, &mountpoint, &dirs.upper, &dirs.work] {
        fs::create_dir(directory)?;
    }
    // xino matters only where the layers are on different file systems, as they will
    // be.
    mount("blockd", &lower, "tmpfs", MountFlags::RDONLY, None)
        .with_context(|| format!("cannot mount a tmpfs at {}", lower.display()))?;
    let target = Target::open(&mountpoint)?;
    let warnings = overlay::mount(&lower, &dirs, &target).and_then(|warnings| {
        unmount_at(&mountpoint)?;
        Ok(warnings)
    });
    unmount_at(&lower)?;
    warnings
}

fn unmount_at(path: &Path) -> Result<()> {
    unmount(path, UnmountFlags::NOFOLLOW)
        .with_context(|| format!("cannot unmount {}", path.display()))
}
