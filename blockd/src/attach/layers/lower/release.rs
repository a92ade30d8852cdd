//! Removing a lower layer, from the top down, when its last user has left.
//!
//! What is mounted, bound and running is looked up: the record only says what may
//! be.

use std::{io, path::Path, sync::mpsc, thread, time::Duration};

use anyhow::{Context, Result, bail};
use rustix::{
    io::Errno,
    mount::{UnmountFlags, unmount},
    process::Signal,
};

use super::users;
use crate::attach::{
    layers::{
        device::{loop_device, nbd, nbd_client},
        liveness,
        mounts::Mounts,
        poll::poll_until,
        process::Identity,
    },
    state::{
        attachment_dir::AttachmentDir,
        directory::{self, list_directory, remove_empty_directory, remove_file},
        lock::{LOWER_TIMEOUT, Lock},
        lower_dir::LowerDir,
        lower_record::{Device, LowerRecord},
    },
};

/// How long the kernel and the relay may take to let go of a device.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long an unmount may write changed blocks.
const WRITEBACK_TIMEOUT: Duration = Duration::from_secs(300);
/// How often a device that is in use is looked at again.
const IN_USE_INTERVAL: Duration = Duration::from_millis(250);

/// What became of a lower layer when an attachment released it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Released {
    /// It was removed.
    Removed,
    /// Other attachments use it.
    Shared,
    /// No attachment uses it, but its device is in use: by a process in a tree
    /// that was detached lazily, or in another mount namespace.
    InUse,
}

/// Removes an attachment from the users of a lower layer, and the layer with its
/// last user. Nothing of the attachment may be mounted any more.
///
/// # Errors
///
/// When another command works on the lower layer for more than a minute, or a
/// layer cannot be taken down.
pub(crate) fn release(lower: &LowerDir, export: &str, dir: &AttachmentDir) -> Result<Released> {
    if !lower.directory().exists() {
        return Ok(Released::Removed);
    }
    let _lock = Lock::acquire(&lower.lock_file(), LOWER_TIMEOUT, export)?;
    users::remove(lower, dir)?;
    if users::any_in_use(lower, export, Some(dir))? {
        return Ok(Released::Shared);
    }
    if take_down_unused(lower, load_record(lower).as_ref())? {
        Ok(Released::Removed)
    } else {
        Ok(Released::InUse)
    }
}

/// Waits until the device of a lower layer is not in use any more, and removes
/// the layer; returns at once when an attachment uses it again.
///
/// # Errors
///
/// Those of [`release`].
pub(crate) fn release_when_unused(lower: &LowerDir) -> Result<()> {
    while lower.directory().exists() {
        let lock = Lock::acquire(&lower.lock_file(), LOWER_TIMEOUT, "a lower layer")?;
        let record = load_record(lower);
        let export = record.as_ref().map_or("", |record| record.export.as_str());
        if users::any_in_use(lower, export, None)? || take_down_unused(lower, record.as_ref())? {
            break;
        }
        drop(lock);
        thread::sleep(IN_USE_INTERVAL);
    }
    Ok(())
}

/// A record that cannot be read must not stop a detach.
fn load_record(lower: &LowerDir) -> Option<LowerRecord> {
    LowerRecord::load(lower).unwrap_or_else(|error| {
        tracing::warn!("{error:#}");
        None
    })
}

/// A relay that does not answer is killed, unless changed blocks may be lost.
fn take_down_unused(lower: &LowerDir, record: Option<&LowerRecord>) -> Result<bool> {
    let writable = record.is_some_and(|record| record.writable);
    let hangs =
        !writable && Identity::alive(&lower.pid_file()).is_some() && !liveness::responds(lower);
    take_down(lower, record, hangs)
}

/// Takes a lower layer down; `false` when its device is in use. With `force` it
/// is given up: processes that use the device get EIO. The lock must be held.
///
/// # Errors
///
/// When a layer cannot be taken down.
pub(super) fn take_down(
    lower: &LowerDir,
    record: Option<&LowerRecord>,
    force: bool,
) -> Result<bool> {
    if force {
        liveness::kill(lower)?;
    }
    unmount_ext4(lower, record, unmount_flags(force))?;
    let is_free = match record.map(|record| (&record.device, record.size)) {
        Some((Device::Nbd { path, connected }, size)) => {
            disconnect_nbd(path, size, *connected, force)?
        }
        Some((Device::Fuse { .. }, _)) | None => release_fuse(lower, force)?,
    };
    if is_free {
        end_relay(lower)?;
        remove_directory(lower)
            .with_context(|| format!("cannot remove {}", lower.directory().display()))?;
    }
    Ok(is_free)
}

/// Unmounts the ext4. The last user of its device is then the kernel, which waits
/// for what is being read ahead; when that takes long, these reads are ended,
/// since nobody will use them.
fn unmount_ext4(lower: &LowerDir, record: Option<&LowerRecord>, flags: UnmountFlags) -> Result<()> {
    let timeout = if record.is_some_and(|record| record.writable) {
        WRITEBACK_TIMEOUT
    } else {
        TIMEOUT
    };
    let mountpoint = lower.mountpoint();
    while Mounts::read()?.at(&mountpoint).is_some() {
        let (path, (sender, receiver)) = (mountpoint.clone(), mpsc::channel());
        thread::spawn(move || {
            // Fails when the time was over: nobody receives it then.
            let _sent = sender.send(unmount(&path, flags));
        });
        let unmounted = receiver.recv_timeout(timeout).or_else(|_| {
            end_reads(lower, record)?;
            receiver
                .recv_timeout(TIMEOUT)
                .context("the lower layer cannot be unmounted: the kernel does not answer")
        })?;
        unmounted.with_context(|| format!("cannot unmount {}", mountpoint.display()))?;
    }
    Ok(())
}

fn end_reads(lower: &LowerDir, record: Option<&LowerRecord>) -> Result<()> {
    match record.map(|record| &record.device) {
        Some(Device::Nbd { path, .. }) => nbd_client::disconnect(path),
        Some(Device::Fuse { .. }) | None => liveness::kill(lower),
    }
}

fn release_fuse(lower: &LowerDir, force: bool) -> Result<bool> {
    let disk = lower.disk();
    for device in loop_device::bound_to(&disk)? {
        loop_device::clear(&device).with_context(|| format!("cannot free {}", device.display()))?;
    }
    let is_unbound = || loop_device::bound_to(&disk).is_ok_and(|devices| devices.is_empty());
    if !force && !poll_until(TIMEOUT, is_unbound) {
        return Ok(false);
    }
    let mountpoint = lower.device();
    let is_unmounted = || {
        Mounts::read().is_ok_and(|mounts| mounts.at(&mountpoint).is_none())
            || !matches!(unmount(&mountpoint, unmount_flags(force)), Err(Errno::BUSY))
    };
    Ok(poll_until(TIMEOUT, is_unmounted))
}

/// Disconnects an nbd device, if it is ours; `false` when it is in use.
///
/// An attach that was killed may not have recorded that it connected the device.
/// One that is mounted, or of another size, was then connected by another program.
fn disconnect_nbd(device: &Path, size: u64, connected: bool, force: bool) -> Result<bool> {
    let is_mounted = nbd::is_mounted(device);
    if is_mounted && connected && !force {
        return Ok(false);
    }
    let is_own = connected || (nbd::has_size(device, size) && !is_mounted);
    if is_own && nbd::is_connected(device) {
        nbd_client::disconnect(device)?;
    }
    Ok(true)
}

/// The relay ends by itself when its FUSE file system is unmounted.
fn end_relay(lower: &LowerDir) -> Result<()> {
    let Some(relay) = Identity::alive(&lower.pid_file()) else {
        return Ok(());
    };
    relay.send(Signal::TERM)?;
    if !relay.wait(TIMEOUT)? && !relay.kill(TIMEOUT)? {
        bail!("the relay, process {}, does not end", relay.pid());
    }
    Ok(())
}

/// Removes what blockd made, the lock last. A directory that holds something else
/// stays.
fn remove_directory(lower: &LowerDir) -> io::Result<()> {
    for user in list_directory(&lower.users_directory())? {
        remove_file(&user?.path())?;
    }
    let directories = [lower.users_directory(), lower.mountpoint(), lower.device()];
    for directory in directories {
        remove_empty_directory(&directory)?;
    }
    directory::remove(&lower.record_file())?;
    let files = [
        lower.socket(),
        lower.status_socket(),
        lower.control_socket(),
        lower.cache_file(),
        lower.pid_file(),
        lower.log_file(),
        lower.client_log_file(),
        lower.lock_file(),
    ];
    for file in files {
        remove_file(&file)?;
    }
    remove_empty_directory(lower.directory())
}

fn unmount_flags(force: bool) -> UnmountFlags {
    if force {
        UnmountFlags::DETACH | UnmountFlags::NOFOLLOW
    } else {
        UnmountFlags::NOFOLLOW
    }
}
