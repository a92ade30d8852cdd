//! Why a mountpoint cannot be unmounted, with the processes and mounts that keep
//! it busy.

use std::path::Path;

use anyhow::{Result, anyhow};
use rustix::io::Errno;

use crate::attach::{
    layers::{
        holders::{Holder, holders},
        mounts::Mounts,
    },
    state::attachment_dir::AttachmentDir,
};

/// The error of unmounting the mountpoint.
pub(crate) fn unmount_error(dir: &AttachmentDir, error: Errno) -> anyhow::Error {
    let mountpoint = dir.mountpoint();
    if error != Errno::BUSY {
        return anyhow!(error).context(format!("cannot unmount {}", mountpoint.display()));
    }
    match users(mountpoint) {
        Err(error) => error,
        Ok(users) if users.is_empty() => busy(dir, "a process that cannot be found"),
        Ok(users) => busy(dir, &users.join(", ")),
    }
}

/// The processes that keep a mountpoint busy, and the mounts below it.
///
/// # Errors
///
/// When `/proc` cannot be read.
pub(crate) fn users(mountpoint: &Path) -> Result<Vec<String>> {
    let processes = holders(Path::new("/proc"), mountpoint)?;
    let mut users: Vec<String> = processes.iter().map(ToString::to_string).collect();
    let mounts = Mounts::read()?;
    let below = mounts.below(mountpoint);
    users.extend(below.map(|below| format!("the mount {}", below.display())));
    users.sort();
    users.dedup();
    Ok(users)
}

/// The error of a mountpoint that `users` keep busy.
pub(crate) fn busy(dir: &AttachmentDir, users: &str) -> anyhow::Error {
    anyhow!(
        "{} is busy: it is used by {users}; end that, or give --lazy to let it go on in a tree \
         that is not mounted any more, or --force to kill the processes",
        dir.mountpoint().display(),
    )
}

/// The names of several processes.
pub(crate) fn names(holders: &[Holder]) -> String {
    let names: Vec<String> = holders.iter().map(ToString::to_string).collect();
    names.join(", ")
}
