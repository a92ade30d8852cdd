//! Taking an attachment down, whole or half, and whoever died before.
//!
//! Nothing is believed: what is mounted, bound and running is looked up, what
//! is ours goes, from the top down.

use std::{
    fs,
    path::Path,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::{
    io::Errno,
    mount::{UnmountFlags, unmount},
};

use super::{
    busy,
    device::{self, identity::Identity, kernel, loop_device, nbd_client, pulse},
    mounts::{Mount, Mounts},
    overlay,
    place::Place,
    state::{Attachment, Device},
};

/// What the kernel does a moment later than it answers.
const MOMENT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);
const INSTANT: Duration = Duration::from_millis(100);

/// Takes down what there is of an attachment; `false` when, after a lazy
/// detach, the device still lives for those inside.
pub(super) fn take_down(place: &Place, attachment: &Attachment, lazy: bool) -> Result<bool> {
    if let Some(user) = lingers(place, attachment) {
        if lazy {
            return Ok(false);
        }
        bail!(
            "processes are still inside {}, which was detached lazily from {}: {user} goes when \
             the last has left",
            attachment.export,
            place.mountpoint().display()
        );
    }
    take_from_mountpoint(place, detach(lazy))?;
    let gone = match &attachment.device {
        Device::Fuse => take_fuse(place, lazy)?,
        Device::Nbd {
            path,
            size,
            connected,
        } => take_nbd(place, path, *size, *connected, lazy)?,
    };
    // Left alone when they are not empty, which would be a mount of somebody's.
    let _empty = fs::remove_dir(place.lower());
    let _empty = fs::remove_dir(place.device());
    Ok(gone)
}

/// What still lives of an attachment that was detached lazily.
fn lingers(place: &Place, attachment: &Attachment) -> Option<String> {
    match &attachment.device {
        _ if !attachment.lingering => None,
        Device::Fuse => {
            Identity::alive(&place.pid_file()).map(|it| format!("process {}", it.pid()))
        }
        Device::Nbd { path, .. } => kernel::is_mounted(path).then(|| path.display().to_string()),
    }
}

fn take_from_mountpoint(place: &Place, flags: UnmountFlags) -> Result<()> {
    loop {
        let mounts = Mounts::read()?;
        let lower = mounts.at(&place.lower());
        match mounts.at(place.mountpoint()) {
            Some(mount) if is_ours(place, mount, lower) => {
                unmount(place.mountpoint(), flags)
                    .map_err(|error| busy::explain(place, place.mountpoint(), error))?;
            }
            Some(_)
                if mounts
                    .all_at(place.mountpoint())
                    .any(|m| is_ours(place, m, lower)) =>
            {
                let mountpoint = place.mountpoint().display();
                bail!("something else is mounted over {mountpoint}: unmount that first");
            }
            _ => return Ok(()),
        }
    }
}

/// The overlay, or the lower layer bound there.
pub(super) fn is_ours(place: &Place, mount: &Mount, lower: Option<&Mount>) -> bool {
    overlay::is_ours(place, mount) || lower.is_some_and(|lower| lower.device == mount.device)
}

fn take_fuse(place: &Place, lazy: bool) -> Result<bool> {
    let (mount, disk) = (place.device(), device::file_of(place));
    let loops = loop_device::bound_to(&disk);
    let is_mounted = Mounts::read()?.at(&mount).is_some();
    if lazy && is_mounted && !pulse::beats(place) {
        pulse::stop(place)?;
    }
    take_lower(place, lazy, || pulse::stop(place))?;
    for device in &loops {
        loop_device::clear(device).with_context(|| format!("cannot free {}", device.display()))?;
    }
    if !lazy && !eventually(|| loop_device::bound_to(&disk).is_empty()) {
        return Err(busy::explain(place, &place.lower(), Errno::BUSY));
    }
    if is_mounted && !eventually(|| !matches!(unmount(&mount, detach(lazy)), Err(Errno::BUSY))) {
        return Err(busy::explain(place, &mount, Errno::BUSY));
    }
    end(place, lazy)
}

/// The process ends by itself when nothing uses its file system.
fn end(place: &Place, lazy: bool) -> Result<bool> {
    if let Some(process) = Identity::alive(&place.pid_file()) {
        if lazy && !process.wait(INSTANT) {
            return Ok(false);
        }
        if !process.wait(MOMENT) && !process.kill(MOMENT)? {
            bail!("the FUSE process {} does not end", process.pid());
        }
    }
    let _removed = fs::remove_file(place.pid_file());
    Ok(true)
}

fn take_nbd(place: &Place, device: &Path, size: u64, connected: bool, lazy: bool) -> Result<bool> {
    take_lower(place, lazy, || nbd_client::disconnect(device))?;
    if lazy && kernel::is_mounted(device) {
        return Ok(false);
    }
    // An attach that was killed did not get to write down whether the device
    // became its own; one of another size, or in use, belongs to somebody else.
    let ours = connected || (kernel::has_size(device, size) && !kernel::is_mounted(device));
    if ours && kernel::is_connected(device) {
        nbd_client::disconnect(device)?;
    }
    Ok(true)
}

/// Unmounts the lower layer. When that takes long, it is its last user and
/// waits for what was read ahead, which nobody wants any more: then `give_up`
/// must end these reads.
fn take_lower(place: &Place, lazy: bool, give_up: impl Fn() -> Result<()>) -> Result<()> {
    let lower = place.lower();
    while Mounts::read()?.at(&lower).is_some() {
        let (path, (done, waiting)) = (lower.clone(), mpsc::channel());
        thread::spawn(move || {
            let _nobody_waits = done.send(unmount(&path, detach(lazy)));
        });
        let unmounted = waiting.recv_timeout(MOMENT).or_else(|_| {
            give_up()?;
            waiting
                .recv_timeout(MOMENT)
                .context("the lower layer cannot be unmounted")
        })?;
        unmounted.map_err(|error| busy::explain(place, &lower, error))?;
    }
    Ok(())
}

fn detach(lazy: bool) -> UnmountFlags {
    let flags = if lazy {
        UnmountFlags::DETACH
    } else {
        UnmountFlags::empty()
    };
    flags | UnmountFlags::NOFOLLOW
}

fn eventually(done: impl Fn() -> bool) -> bool {
    let begun = Instant::now();
    while !done() {
        if begun.elapsed() > MOMENT {
            return false;
        }
        thread::sleep(PAUSE);
    }
    true
}
