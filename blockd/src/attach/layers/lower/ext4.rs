//! Mounting the ext4 of an export.

use std::{ffi::CStr, fs, path::Path};

use anyhow::{Context, Result};
use rustix::{
    io::Errno,
    mount::{MountFlags, mount, mount_bind},
};

use super::{
    fsck::fsck,
    superblock::{self, Use},
};
use crate::{
    attach::{layers::target::Target, state::lower_dir::LowerDir},
    device_node::Device,
};

/// The server, or whoever made the commit, is not trusted: no set-user-id
/// program and no device node of the file system counts.
pub(crate) const MOUNT_FLAGS: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NODEV)
    .union(MountFlags::NOATIME);

/// Mounts the ext4 on `device` at the mountpoint of the lower layer, after
/// e2fsck(8) where it was written to. `expected`: it must be one that blockd makes,
/// with which this has happened since.
///
/// # Errors
///
/// When it is another, e2fsck cannot repair it, or the kernel refuses the mount.
pub(super) fn mount_ext4(
    lower: &LowerDir,
    device: &Path,
    writable: bool,
    expected: Option<Use>,
) -> Result<()> {
    let node = Device::block(device)?.node()?;
    if let Some(since) = expected {
        superblock::check(node.path(), since)?;
    }
    if writable {
        fsck(node.path())?;
    }
    let target = lower.mountpoint();
    fs::create_dir_all(&target).with_context(|| format!("cannot make {}", target.display()))?;
    let (options, flags) = mount_options(writable);
    let mounted = mount(node.path(), &target, "ext4", flags, options);
    mounted.with_context(|| {
        let reason = match mounted {
            Err(Errno::INVAL | Errno::UCLEAN) => {
                "it holds no ext4 that this kernel mounts (see dmesg)"
            }
            Err(Errno::NODEV) => "this kernel has no ext4",
            Err(Errno::PERM | Errno::ACCESS) => {
                "mounting is not allowed here: CAP_SYS_ADMIN is needed"
            }
            _ => "the mount failed",
        };
        format!("cannot mount {}: {reason}", device.display())
    })
}

/// A read-only mount leaves the journal alone, if there is one. With
/// `errors=`, a damaged block is an error of that read and never a panic of the
/// kernel, whatever the superblock asks for (ext4(5)).
fn mount_options(writable: bool) -> (&'static CStr, MountFlags) {
    if writable {
        return (c"errors=remount-ro", MOUNT_FLAGS);
    }
    let flags = MOUNT_FLAGS.union(MountFlags::RDONLY);
    (c"noload,errors=continue", flags)
}

/// Binds the mounted lower layer to `target`.
///
/// # Errors
///
/// Those of mount(2), and when the directory was moved meanwhile.
pub(crate) fn bind(lower: &LowerDir, target: &Target) -> Result<()> {
    mount_bind(lower.mountpoint(), target.to_mount_at())
        .with_context(|| format!("cannot bind the lower layer to {}", target.path().display()))?;
    target.check_place()
}
