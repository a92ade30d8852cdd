//! Why something cannot be unmounted, with names.

use std::path::Path;

use anyhow::anyhow;
use rustix::io::Errno;

use super::{
    holders::{Holder, holders},
    mounts::Mounts,
    place::Place,
};

/// The error of unmounting `path`, for people.
pub(super) fn explain(place: &Place, path: &Path, error: Errno) -> anyhow::Error {
    if error != Errno::BUSY {
        return anyhow!(error).context(format!("cannot unmount {}", path.display()));
    }
    let proc = Path::new("/proc");
    let inside = holders(proc, path);
    let mut inside: Vec<String> = inside.iter().map(ToString::to_string).collect();
    let mounts = Mounts::read().unwrap_or_default();
    inside.extend(
        mounts
            .below(path)
            .map(|below| format!("the mount {}", below.display())),
    );
    inside.sort();
    inside.dedup();
    if inside.is_empty() {
        inside.push("somebody".to_owned());
    }
    refuse(place, &inside.join(", "))
}

/// What can be done about `inside`.
pub(super) fn refuse(place: &Place, inside: &str) -> anyhow::Error {
    anyhow!(
        "{} is busy: {inside} still inside; end that, or give --lazy to let it go on in a tree \
         that is mounted nowhere, or --force to end it",
        place.mountpoint().display(),
    )
}

/// Several processes, in words.
pub(super) fn names(holders: &[Holder]) -> String {
    let names: Vec<String> = holders.iter().map(ToString::to_string).collect();
    names.join(", ")
}
