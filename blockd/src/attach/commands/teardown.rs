//! Taking an attachment down, however far its attach came and whatever has died
//! since.
//!
//! What is mounted is looked up, and what is ours is unmounted, from the top down;
//! the lower layer is removed with its last user.

use std::{path::Path, time::Duration};

use anyhow::{Result, bail};
use rustix::{io::Errno, mount::UnmountFlags};

use super::{end_processes, unmount_error};
use crate::attach::{
    layers::{
        holders::{find_in_other_namespace, holders_of_device},
        lower::release::{Released, release},
        mounts::Mounts,
        overlay,
        own_mount::OwnMount,
        poll::poll_until,
        target, utab,
    },
    state::{
        attachment_dir::AttachmentDir, attachment_record::Attachment, lower_dir::LowerDir,
        mount_scope::MountScope,
    },
};

/// How long a mountpoint may be busy without a process that uses it: one that makes
/// a mount namespace copies all mounts.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// What is done about processes that use the mountpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DetachMode {
    /// The detach fails.
    #[default]
    FailIfBusy,
    /// They go on in a tree that is not mounted any more.
    Lazy,
    /// They are killed.
    Force,
}

/// What is left of an attachment that was taken down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remains {
    /// The device number of its overlay, `major:minor`, if processes still use it.
    pub(crate) overlay: Option<String>,
    pub(crate) lower: Released,
}

/// Takes down what there is of an attachment.
///
/// # Errors
///
/// When a process keeps it busy, something else is mounted over it, or a layer
/// cannot be taken down.
pub(crate) fn take_down(
    dir: &AttachmentDir,
    attachment: &Attachment,
    mode: DetachMode,
) -> Result<Remains> {
    let lower = attachment.lower(dir);
    let is_same_boot = attachment.scope.is_same_boot(&MountScope::current()?);
    if let Some(device) = attachment.lingering.as_ref().filter(|_| is_same_boot)
        && is_overlay_in_use(dir, device)?
    {
        return take_down_lingering(dir, attachment, device, mode);
    }
    if mode == DetachMode::Force {
        end_processes::end_users(dir)?;
    }
    let overlay = unmount_all(dir, &lower, mode)?;
    if let Err(error) = utab::forget(dir.mountpoint()) {
        tracing::debug!("umount(8) goes on knowing of a mount that is gone: {error}");
    }
    if mode == DetachMode::FailIfBusy {
        check_other_namespaces(dir, &lower)?;
    }
    let overlay = match overlay {
        // What was unmounted otherwise has no users. Its number may have been given to
        // another file system by now, which has.
        Some(device) if mode == DetachMode::Lazy && is_overlay_in_use(dir, &device)? => {
            Some(device)
        }
        _ => None,
    };
    let lower = release(&lower, &attachment.export, dir)?;
    Ok(Remains { overlay, lower })
}

/// Takes down an attachment that was detached lazily, and that processes still
/// use.
fn take_down_lingering(
    dir: &AttachmentDir,
    attachment: &Attachment,
    device: &str,
    mode: DetachMode,
) -> Result<Remains> {
    match mode {
        DetachMode::Lazy => Ok(Remains {
            overlay: Some(device.to_owned()),
            lower: Released::Shared,
        }),
        DetachMode::Force => {
            end_processes::end_users_of_device(device)?;
            let attachment = Attachment {
                lingering: None,
                ..attachment.clone()
            };
            take_down(dir, &attachment, DetachMode::Lazy)
        }
        DetachMode::FailIfBusy => bail!(
            "processes are still inside {}, which was detached lazily from {}: {}; end them, or \
             give --force to kill them",
            attachment.export,
            dir.mountpoint().display(),
            unmount_error::names(&holders_of_device(Path::new("/proc"), device)?)
        ),
    }
}

/// Whether processes still use an overlay that was unmounted lazily. Its device
/// number may be another file system's by now, which is mounted.
fn is_overlay_in_use(dir: &AttachmentDir, device: &str) -> Result<bool> {
    let mounts = Mounts::read()?;
    let is_reused = mounts
        .iter()
        .any(|mount| mount.device == device && !overlay::is_of(dir, mount));
    Ok(!is_reused && !holders_of_device(Path::new("/proc"), device)?.is_empty())
}

/// Fails when another mount namespace still has the mountpoint's mount. Namespaces
/// to which unmounts are propagated have none any more.
fn check_other_namespaces(dir: &AttachmentDir, lower: &LowerDir) -> Result<()> {
    let own = OwnMount::new(dir, lower, &Mounts::read()?);
    let mut found = Ok(None);
    // A program that makes a namespace of its own copies all mounts first, and then
    // unmounts what it does not need.
    poll_until(BUSY_TIMEOUT, || {
        found = find_in_other_namespace(Path::new("/proc"), |mount| own.is(mount));
        !matches!(found, Ok(Some(_)))
    });
    match found? {
        Some(holder) => Err(unmount_error::busy(dir, &holder.to_string())),
        None => Ok(()),
    }
}

/// Unmounts what is ours at the mountpoint; returns the device number of the
/// overlay, if there was one.
fn unmount_all(dir: &AttachmentDir, lower: &LowerDir, mode: DetachMode) -> Result<Option<String>> {
    let flags = match mode {
        DetachMode::Lazy => UnmountFlags::DETACH | UnmountFlags::NOFOLLOW,
        DetachMode::FailIfBusy | DetachMode::Force => UnmountFlags::NOFOLLOW,
    };
    let mut overlay = None;
    loop {
        let mounts = Mounts::read()?;
        let Some(mount) = OwnMount::new(dir, lower, &mounts).find(&mounts) else {
            return Ok(overlay);
        };
        if mounts.at(dir.mountpoint()) != Some(mount) {
            let mountpoint = dir.mountpoint().display();
            bail!("something else is mounted over {mountpoint}: unmount that first");
        }
        if overlay::is_of(dir, mount) {
            overlay = Some(mount.device.clone());
        }
        unmount_uppermost(dir, mount.id, flags)?;
    }
}

/// A mountpoint that is busy though nothing uses it is busy for a moment only.
fn unmount_uppermost(dir: &AttachmentDir, id: u64, flags: UnmountFlags) -> Result<()> {
    let mountpoint = dir.mountpoint();
    let mut unmounted = Ok(());
    poll_until(BUSY_TIMEOUT, || {
        unmounted = target::unmount(mountpoint, id, flags);
        let is_unused = || unmount_error::users(mountpoint).is_ok_and(|users| users.is_empty());
        unmounted != Err(Errno::BUSY) || !is_unused()
    });
    unmounted.map_err(|error| unmount_error::unmount_error(dir, error))
}
