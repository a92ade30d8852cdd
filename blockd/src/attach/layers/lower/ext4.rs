//! The lower layer: the export's ext4, mounted read-only.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use rustix::{
    io::Errno,
    mount::{MountFlags, mount, mount_bind},
};

/// What came over a network may be anything: no set-user-id program and no
/// device node of it counts.
pub(crate) fn flags() -> MountFlags {
    MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOATIME
}

/// Mounts `device` at `target`. The journal, if there is one, is left alone;
/// an error on the disk is an error of that read and never a panic, whatever
/// the superblock asks for.
pub(crate) fn mount_ext4(device: &Path, target: &Path, writable: bool) -> Result<()> {
    fs::create_dir_all(target).with_context(|| format!("cannot make {}", target.display()))?;
    let (options, flags) = if writable {
        (c"errors=remount-ro", flags())
    } else {
        (c"noload,errors=continue", flags() | MountFlags::RDONLY)
    };
    let mounted = mount(device, target, "ext4", flags, options);
    mounted.with_context(|| {
        let reason = match mounted {
            Err(Errno::INVAL | Errno::UCLEAN) => {
                "it holds no ext4 that this kernel mounts (see dmesg)"
            }
            Err(Errno::NODEV) => "this kernel has no ext4",
            Err(Errno::PERM | Errno::ACCESS) => "mounting is not allowed here",
            _ => "the mount failed",
        };
        format!("cannot mount {}: {reason}", device.display())
    })
}

/// Shows the lower layer itself at the mountpoint.
pub(crate) fn bind(lower: &Path, mountpoint: &Path) -> Result<()> {
    mount_bind(lower, mountpoint)
        .with_context(|| format!("cannot bind the lower layer to {}", mountpoint.display()))
}
