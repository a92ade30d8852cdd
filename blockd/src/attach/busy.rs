//! Why something cannot be unmounted, with names.

use std::path::Path;

use anyhow::anyhow;
use rustix::io::Errno;

use super::{holders::holders, mounts::Mounts, place::Place};

/// The error of unmounting `path`, for people.
pub(super) fn explain(place: &Place, path: &Path, error: Errno) -> anyhow::Error {
    if error != Errno::BUSY {
        return anyhow!(error).context(format!("cannot unmount {}", path.display()));
    }
    let proc = Path::new("/proc");
    let mut inside = holders(proc, place.mountpoint());
    inside.extend(holders(proc, path));
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
        inside.push("somebody in another mount namespace".to_owned());
    }
    anyhow!(
        "{} is busy: {} still inside; end that, or give --lazy to detach when the last has left",
        place.mountpoint().display(),
        inside.join(", ")
    )
}
