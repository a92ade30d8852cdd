//! Taking a lower layer away when its last user has left, from the top down.
//!
//! Nothing is believed: what is mounted, bound and running is looked up.

use std::{fs, path::Path, sync::mpsc, thread, time::Duration};

use anyhow::{Context, Result, bail};
use rustix::{
    io::Errno,
    mount::{UnmountFlags, unmount},
    process::Signal,
};

use crate::attach::{
    layers::{
        device::{loop_device, nbd, nbd_client},
        liveness,
        lower::users,
        mounts::Mounts,
        poll::{MOMENT, eventually},
        process::Identity,
    },
    state::{
        attachment_dir::Place,
        directory,
        lock::Lock,
        lower_dir::Lower,
        lower_record::{Device, Record},
    },
};

/// How long another blockd may be at work on a lower layer: it asks servers.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take to write what was changed.
const WRITTEN: Duration = Duration::from_secs(300);
/// How often it is looked whether a device is still in use.
const INTERVAL: Duration = Duration::from_millis(250);

/// What became of a lower layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It is gone.
    Gone,
    /// Others use it.
    Shared,
    /// Nobody is counted, but its device is in use: by who is inside a tree
    /// that was detached lazily, or in another mount namespace.
    Busy,
}

/// Counts a place out, which must show nothing any more, and takes down what
/// nobody uses then.
pub(crate) fn leave(lower: &Lower, export: &str, place: &Place) -> Result<Ended> {
    if !lower.directory().exists() {
        return Ok(Ended::Gone);
    }
    let _lock = Lock::take(&lower.lock_file(), PATIENCE, export)?;
    users::leave(lower, place.key().as_ref())?;
    if users::is_used(lower, export, Some(place))? {
        return Ok(Ended::Shared);
    }
    let record = record(lower);
    let gone = take_down(lower, record.as_ref(), hangs(lower, record.as_ref()))?;
    Ok(if gone { Ended::Gone } else { Ended::Busy })
}

/// Waits until a lower layer's device is not in use any more, and takes it
/// away; ends when somebody counts on it again.
pub(crate) fn settle(lower: &Lower) -> Result<()> {
    while lower.directory().exists() {
        let lock = Lock::take(&lower.lock_file(), PATIENCE, "a lower layer")?;
        let record = record(lower);
        let export = record.as_ref().map_or("", |record| record.export.as_str());
        let wanted = users::is_used(lower, export, None)?;
        if wanted || take_down(lower, record.as_ref(), hangs(lower, record.as_ref()))? {
            break;
        }
        drop(lock);
        thread::sleep(INTERVAL);
    }
    Ok(())
}

/// A record that cannot be read must not keep us from taking down.
fn record(lower: &Lower) -> Option<Record> {
    Record::load(lower).unwrap_or_else(|error| {
        tracing::warn!("{error:#}");
        None
    })
}

/// Whether there is a relay that does not answer, and nothing to lose.
fn hangs(lower: &Lower, record: Option<&Record>) -> bool {
    let writable = record.is_some_and(|record| record.writable);
    !writable && Identity::alive(&lower.pid_file()).is_some() && !liveness::beats(lower)
}

/// Takes a lower layer down; `false` when somebody still uses its device.
/// `hard`: it is given up, and who is inside gets EIO.
pub(crate) fn take_down(lower: &Lower, record: Option<&Record>, hard: bool) -> Result<bool> {
    if hard {
        liveness::stop(lower)?;
    }
    let device = record.map(|record| &record.device);
    let patience = if record.is_some_and(|record| record.writable) {
        WRITTEN
    } else {
        MOMENT
    };
    take_mount(lower, device, flags(hard), patience)?;
    let size = record.map_or(0, |record| record.size);
    let free = match device {
        Some(Device::Nbd { path, connected }) => take_nbd(path, size, *connected, hard)?,
        _ => take_fuse(lower, hard)?,
    };
    if free {
        end_relay(lower)?;
        forget(lower);
    }
    Ok(free)
}

/// Unmounts the ext4. When that takes long, it is its last user and waits for
/// what was read ahead, which nobody wants any more: these reads are ended.
fn take_mount(
    lower: &Lower,
    device: Option<&Device>,
    flags: UnmountFlags,
    patience: Duration,
) -> Result<()> {
    let mount = lower.mount();
    while Mounts::read()?.at(&mount).is_some() {
        let (path, (done, waiting)) = (mount.clone(), mpsc::channel());
        thread::spawn(move || {
            let _nobody_waits = done.send(unmount(&path, flags));
        });
        let unmounted = waiting.recv_timeout(patience).or_else(|_| {
            give_up(lower, device)?;
            waiting
                .recv_timeout(MOMENT)
                .context("the lower layer cannot be unmounted")
        })?;
        unmounted.with_context(|| format!("cannot unmount {}", mount.display()))?;
    }
    Ok(())
}

fn give_up(lower: &Lower, device: Option<&Device>) -> Result<()> {
    match device {
        Some(Device::Nbd { path, .. }) => nbd_client::disconnect(path),
        _ => liveness::stop(lower),
    }
}

fn take_fuse(lower: &Lower, hard: bool) -> Result<bool> {
    let disk = lower.disk();
    for device in loop_device::bound_to(&disk) {
        loop_device::clear(&device).with_context(|| format!("cannot free {}", device.display()))?;
    }
    if !hard && !eventually(|| loop_device::bound_to(&disk).is_empty()) {
        return Ok(false);
    }
    let mount = lower.device();
    let unmounted = || {
        Mounts::read().is_ok_and(|mounts| mounts.at(&mount).is_none())
            || !matches!(unmount(&mount, flags(hard)), Err(Errno::BUSY))
    };
    Ok(eventually(unmounted))
}

/// An attach that was killed did not get to write down whether the device
/// became its own; one of another size, or in use, belongs to somebody else.
fn take_nbd(device: &Path, size: u64, connected: bool, hard: bool) -> Result<bool> {
    let used = nbd::is_mounted(device);
    if used && connected && !hard {
        return Ok(false);
    }
    let ours = connected || (nbd::has_size(device, size) && !used);
    if ours && nbd::is_connected(device) {
        nbd_client::disconnect(device)?;
    }
    Ok(true)
}

/// It ends by itself when its file system is unmounted.
fn end_relay(lower: &Lower) -> Result<()> {
    let Some(relay) = Identity::alive(&lower.pid_file()) else {
        return Ok(());
    };
    relay.send(Signal::TERM)?;
    if !relay.wait(MOMENT) && !relay.kill(MOMENT)? {
        bail!("the relay {} does not end", relay.pid());
    }
    Ok(())
}

/// What is not empty is somebody's, and stays. The lock goes last.
fn forget(lower: &Lower) {
    let users = fs::read_dir(lower.users_directory()).into_iter().flatten();
    for file in users.flatten() {
        let _gone = fs::remove_file(file.path());
    }
    for directory in [lower.users_directory(), lower.mount(), lower.device()] {
        let _gone = fs::remove_dir(directory);
    }
    directory::remove(&lower.record_file());
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
        let _gone = fs::remove_file(file);
    }
    let _gone = fs::remove_dir(lower.directory());
}

fn flags(hard: bool) -> UnmountFlags {
    let flags = if hard {
        UnmountFlags::DETACH
    } else {
        UnmountFlags::empty()
    };
    flags | UnmountFlags::NOFOLLOW
}
