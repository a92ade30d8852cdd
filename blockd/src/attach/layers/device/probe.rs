//! What this kernel and this host have to make a block device. Nothing is loaded
//! or changed.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::Path,
};

use anyhow::Result;

use crate::device_node::Device;

/// The release of the running kernel, as uname(1) -r shows it.
///
/// # Errors
///
/// When `/proc` is not mounted.
pub(crate) fn kernel_release() -> io::Result<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(release.trim().to_owned())
}

/// Whether the nbd driver is loaded.
pub(crate) fn has_nbd() -> bool {
    Path::new("/sys/block/nbd0").exists()
}

/// Whether the running kernel has the nbd driver as a module.
pub(crate) fn has_nbd_module() -> bool {
    has_module("kernel/drivers/block", "nbd")
}

/// Whether the kernel knows a file system, or has a module that may be it.
pub(crate) fn has_file_system(name: &str) -> bool {
    let known = fs::read_to_string("/proc/filesystems");
    known.is_ok_and(|known| known.split_whitespace().any(|word| word == name))
        || has_module(&format!("kernel/fs/{name}"), name)
        || has_module(&format!("kernel/fs/{name}fs"), name)
}

/// Whether a directory of the running kernel's modules has this one. To look is
/// quicker than a modprobe(8) that fails.
fn has_module(directory: &str, name: &str) -> bool {
    let Ok(release) = kernel_release() else {
        return false;
    };
    let directory = Path::new("/lib/modules").join(release).join(directory);
    ["ko", "ko.xz", "ko.zst", "ko.gz"]
        .iter()
        .any(|ending| directory.join(format!("{name}.{ending}")).exists())
}

/// Opens FUSE.
///
/// # Errors
///
/// Those of [`Device::open`].
pub(crate) fn open_fuse() -> Result<File> {
    Device::fuse().open(OpenOptions::new().read(true).write(true))
}

/// Opens what hands out loop devices.
///
/// # Errors
///
/// Those of [`Device::open`].
pub(crate) fn open_loop_control() -> Result<File> {
    Device::loop_control().open(OpenOptions::new().read(true).write(true))
}
