//! overlayfs, tried where changes would be kept.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::attach::{
    commands::{
        doctor::{Check, Health, kernel},
        privilege,
    },
    layers::{mounts::Mounts, overlay, upper::Layers},
};

const NAME: &str = "overlayfs";

pub(super) fn checks(state: &Path) -> Vec<Check> {
    if privilege::check(NAME).is_err() {
        return vec![Check::bad(
            NAME,
            Health::Warning,
            "cannot be tried without CAP_SYS_ADMIN",
            "sudo blockd doctor",
        )];
    }
    if !kernel::has_file_system("overlay") {
        let mend = "modprobe overlay; or attach --read-only";
        return vec![Check::bad(
            NAME,
            Health::Fault,
            "this kernel has no overlayfs",
            mend,
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
    let mend = "an upper layer on ext4, xfs or tmpfs, and Linux 4.19 or newer";
    Check::bad(NAME, Health::Warning, warning, mend)
}

/// Mounts one in a directory beside where it would be; what it lacks.
fn attempt(state: &Path) -> Result<Vec<String>> {
    let there = state.ancestors().find(|path| path.is_dir());
    let there = there.unwrap_or(Path::new("/"));
    let folder = tempfile::Builder::new()
        .prefix(".blockd-doctor-")
        .tempdir_in(there)
        .with_context(|| format!("cannot write into {}", there.display()))?;
    let path = folder.path().canonicalize()?;
    let layers = Layers {
        upper: path.join("upper"),
        work: path.join("work"),
    };
    let (lower, mountpoint) = (path.join("lower"), path.join("mountpoint"));
    for directory in [&lower, &mountpoint, &layers.upper, &layers.work] {
        fs::create_dir(directory)?;
    }
    // Another file system below, as it will be: xino matters between two.
    mount("blockd", &lower, "tmpfs", MountFlags::RDONLY, None)
        .with_context(|| format!("cannot mount a tmpfs at {}", lower.display()))?;
    let warnings = warnings(&lower, &layers, &mountpoint);
    unmount(&lower, UnmountFlags::NOFOLLOW)
        .with_context(|| format!("cannot unmount {}", lower.display()))?;
    warnings
}

fn warnings(lower: &Path, layers: &Layers, mountpoint: &Path) -> Result<Vec<String>> {
    let mut warnings = overlay::mount_over(lower, layers, mountpoint)?;
    let mounts = Mounts::read();
    unmount(mountpoint, UnmountFlags::NOFOLLOW)
        .with_context(|| format!("cannot unmount {}", mountpoint.display()))?;
    if let Some(mount) = mounts?.at(mountpoint).filter(|_| warnings.is_empty()) {
        warnings = overlay::silently_off(mount);
    }
    Ok(warnings)
}
