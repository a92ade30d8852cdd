//! Why something cannot be unmounted, with names.

use std::path::Path;

use anyhow::anyhow;
use rustix::io::Errno;

use crate::attach::{
    layers::{
        holders::{Holder, holders},
        mounts::Mounts,
    },
    state::attachment_dir::Place,
};

/// The error of unmounting `path`, for people.
pub(crate) fn explain(place: &Place, path: &Path, error: Errno) -> anyhow::Error {
    if error != Errno::BUSY {
        return anyhow!(error).context(format!("cannot unmount {}", path.display()));
    }
    let mut inside = inside(path);
    if inside.is_empty() {
        inside.push("somebody".to_owned());
    }
    refuse(place, &inside.join(", "))
}

/// The processes inside a mount, and the mounts below it.
pub(crate) fn inside(path: &Path) -> Vec<String> {
    let inside = holders(Path::new("/proc"), path);
    let mut inside: Vec<String> = inside.iter().map(ToString::to_string).collect();
    let mounts = Mounts::read().unwrap_or_default();
    inside.extend(
        mounts
            .below(path)
            .map(|below| format!("the mount {}", below.display())),
    );
    inside.sort();
    inside.dedup();
    inside
}

/// What can be done about `inside`.
pub(crate) fn refuse(place: &Place, inside: &str) -> anyhow::Error {
    anyhow!(
        "{} is busy: {inside} still inside; end that, or give --lazy to let it go on in a tree \
         that is mounted nowhere, or --force to end it",
        place.mountpoint().display(),
    )
}

/// Several processes, in words.
pub(crate) fn names(holders: &[Holder]) -> String {
    let names: Vec<String> = holders.iter().map(ToString::to_string).collect();
    names.join(", ")
}
