//! Where changes are kept. Overlayfs takes no upper layer that lies on an
//! overlay, which the root file system of such a machine is.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, mount};
use tracing::{info, warn};

/// A volume, where there is one; then the ext4 behind the root's overlay.
const PLACES: [(&str, &str); 2] = [
    ("/data", "/data/agent"),
    ("/.fly-upper-layer", "/.fly-upper-layer/agent"),
];
const LAST: &str = "/var/lib/agent";

/// `f_type` of overlayfs (`linux/magic.h`).
const OVERLAYFS_SUPER_MAGIC: i128 = 0x794c_7630;

/// A directory for state that takes an upper layer.
///
/// # Errors
///
/// When it cannot be made.
pub(super) fn place(wanted: Option<&Path>) -> Result<PathBuf> {
    let found = || {
        PLACES
            .iter()
            .find(|(sign, _)| takes_layers(Path::new(sign)))
    };
    let place = match wanted {
        Some(wanted) => wanted.to_owned(),
        None => found().map_or(LAST, |(_, place)| place).into(),
    };
    let made = fs::create_dir_all(&place);
    made.with_context(|| format!("cannot make {}", place.display()))?;
    if !takes_layers(&place) {
        warn!(
            "{} lies on an overlay: changes are kept in memory, and end with this machine",
            place.display()
        );
        let mounted = mount("tmpfs", &place, "tmpfs", MountFlags::NODEV, c"mode=0755");
        mounted.with_context(|| format!("cannot mount a tmpfs at {}", place.display()))?;
    }
    info!("changes are kept in {}", place.display());
    Ok(place)
}

fn takes_layers(place: &Path) -> bool {
    rustix::fs::statfs(place).is_ok_and(|all| i128::from(all.f_type) != OVERLAYFS_SUPER_MAGIC)
}
