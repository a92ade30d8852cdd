//! Mounting where `/dev` has no node of FUSE, though the kernel has it: fuser opens
//! `/dev/fuse` by name, and so does fusermount3(1).

use std::{
    ffi::CString,
    fs::OpenOptions,
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
};

use anyhow::Result;
use rustix::mount::{MountFlags, mount};

use crate::device_node::Device;

/// Mounts a FUSE file system; returns the file that its requests are read from
/// (Documentation/filesystems/fuse.rst).
///
/// # Errors
///
/// When a node of FUSE can neither be found nor made, or mount(2) fails.
pub(super) fn mount_at(path: &Path, writable: bool) -> Result<OwnedFd> {
    let device = Device::fuse().open(OpenOptions::new().read(true).write(true))?;
    let options = format!(
        "fd={},rootmode=40000,user_id=0,group_id=0,default_permissions",
        device.as_raw_fd()
    );
    let mut flags =
        MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NOATIME;
    flags.set(MountFlags::RDONLY, !writable);
    let options = CString::new(options)?;
    mount("blockd", path, "fuse", flags, options.as_c_str())?;
    Ok(device.into())
}
