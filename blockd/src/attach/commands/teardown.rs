//! Taking an attachment down, whole or half, and whoever died before.
//!
//! Nothing is believed: what is mounted is looked up, what is ours goes, from
//! the top down; the lower layer goes with its last user.

use std::{fs, path::Path};

use anyhow::{Result, bail};
use rustix::{
    io::Errno,
    mount::{UnmountFlags, unmount},
};

use crate::attach::{
    commands::{end_processes, unmount_error},
    layers::{
        holders::{holders_of_device, sees_elsewhere},
        lower::release::{self, Ended},
        mounts::{Mount, Mounts},
        overlay,
        poll::eventually,
    },
    state::{
        attachment_dir::Place, lower_dir::Lower, lower_record::Record, mount_scope::Life,
        record::Attachment,
    },
};

/// How those who are still inside are treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Manner {
    /// They are asked to leave: the detach fails.
    #[default]
    Polite,
    /// They go on inside a tree that is mounted nowhere any more.
    Lazy,
    /// They are ended.
    Force,
}

/// What is left of an attachment that was taken down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// Processes are still inside its overlay: `major:minor`.
    pub(crate) overlay: Option<String>,
    pub(crate) lower: Ended,
}

/// Takes down what there is of an attachment.
pub(crate) fn take_down(place: &Place, attachment: &Attachment, manner: Manner) -> Result<Left> {
    let lower = attachment.lower(place);
    let same_boot = attachment.life.is_of_boot(&Life::now()?);
    let lingering = attachment.lingering.clone().filter(|_| same_boot);
    if let Some(device) = lingering.filter(|device| is_inside(place, device)) {
        return still_inside(place, attachment, device, manner);
    }
    if manner == Manner::Force {
        end_processes::end_all_inside(place)?;
    }
    let overlay = take_from_mountpoint(place, &lower, manner)?;
    if manner == Manner::Polite {
        refuse_elsewhere(place, &lower)?;
    }
    let overlay = overlay.filter(|device| is_inside(place, device));
    let lower = release::leave(&lower, &attachment.export, place)?;
    Ok(Left { overlay, lower })
}

fn still_inside(
    place: &Place,
    attachment: &Attachment,
    device: String,
    manner: Manner,
) -> Result<Left> {
    match manner {
        Manner::Lazy => {}
        Manner::Force => {
            end_processes::end_all_on(&device)?;
            let attachment = Attachment {
                lingering: None,
                ..attachment.clone()
            };
            return take_down(place, &attachment, Manner::Lazy);
        }
        Manner::Polite => bail!(
            "processes are still inside {}, which was detached lazily from {}: {}; \
             end them, or give --force to have them ended",
            attachment.export,
            place.mountpoint().display(),
            unmount_error::names(&holders_of_device(Path::new("/proc"), &device))
        ),
    }
    Ok(Left {
        overlay: Some(device),
        lower: Ended::Shared,
    })
}

/// Whether somebody is still inside an overlay that was unmounted lazily. Its
/// number may be another file system's by now.
fn is_inside(place: &Place, device: &str) -> bool {
    let mounts = Mounts::read().unwrap_or_default();
    let reused = mounts
        .iter()
        .any(|mount| mount.device == device && !overlay::is_ours(place, mount));
    !reused && !holders_of_device(Path::new("/proc"), device).is_empty()
}

/// A tree that is unmounted here only is not detached. Namespaces that follow
/// ours have lost it with us.
fn refuse_elsewhere(place: &Place, lower: &Lower) -> Result<()> {
    let mounts = Mounts::read()?;
    let device = device_of(lower, &mounts);
    let is_ours = |mount: &Mount| {
        overlay::is_ours(place, mount)
            || (mount.mountpoint == place.mountpoint() && Some(&mount.device) == device.as_ref())
    };
    let mut seen = None;
    // A program that makes a namespace of its own copies all mounts first, and
    // drops what it does not want then.
    eventually(|| {
        seen = sees_elsewhere(Path::new("/proc"), is_ours);
        seen.is_none()
    });
    match seen {
        Some(holder) => Err(unmount_error::refuse(place, &holder.to_string())),
        None => Ok(()),
    }
}

/// Unmounts what is ours, and says the number of the overlay that was there.
fn take_from_mountpoint(place: &Place, lower: &Lower, manner: Manner) -> Result<Option<String>> {
    let flags = match manner {
        Manner::Lazy => UnmountFlags::DETACH | UnmountFlags::NOFOLLOW,
        Manner::Polite | Manner::Force => UnmountFlags::NOFOLLOW,
    };
    let mut overlay = None;
    loop {
        let mounts = Mounts::read()?;
        let Some(mount) = shown(place, lower, &mounts) else {
            break;
        };
        if mounts.at(place.mountpoint()) != Some(mount) {
            let mountpoint = place.mountpoint().display();
            bail!("something else is mounted over {mountpoint}: unmount that first");
        }
        if overlay::is_ours(place, mount) {
            overlay = Some(mount.device.clone());
        }
        unmount_uppermost(place, flags)?;
    }
    Ok(overlay)
}

/// Where it is busy and nobody is inside, somebody is just passing.
fn unmount_uppermost(place: &Place, flags: UnmountFlags) -> Result<()> {
    let path = place.mountpoint();
    let mut unmounted = Ok(());
    eventually(|| {
        unmounted = unmount(path, flags);
        unmounted != Err(Errno::BUSY) || !unmount_error::inside(path).is_empty()
    });
    unmounted.map_err(|error| unmount_error::explain(place, path, error))
}

/// The uppermost mount of ours at a place: its overlay, or its lower layer
/// bound there.
pub(crate) fn shown<'a>(place: &Place, lower: &Lower, mounts: &'a Mounts) -> Option<&'a Mount> {
    let device = device_of(lower, mounts);
    let is_ours =
        |mount: &&Mount| overlay::is_ours(place, mount) || Some(&mount.device) == device.as_ref();
    mounts.all_at(place.mountpoint()).filter(is_ours).last()
}

/// `major:minor` of a lower layer's ext4, mounted or not.
fn device_of(lower: &Lower, mounts: &Mounts) -> Option<String> {
    let mounted = mounts.at(&lower.mount()).map(|mount| mount.device.clone());
    mounted.or_else(|| {
        let record = Record::load(lower).ok().flatten()?;
        let name = record.path()?.file_name()?.to_owned();
        let number = fs::read_to_string(Path::new("/sys/class/block").join(name).join("dev"));
        Some(number.ok()?.trim().to_owned())
    })
}
