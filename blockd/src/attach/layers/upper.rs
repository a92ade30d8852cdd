//! The diff: what was changed here, in an upper layer of overlayfs.

use std::{
    ffi::CString,
    fmt,
    fs::{self, Metadata, Permissions},
    io, mem,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context, Result};
use rustix::{
    fs::lgetxattr,
    mount::{MountFlags, UnmountFlags, mount, unmount},
};
use serde::{Deserialize, Serialize};

use crate::{
    attach::{layers::mounts::Mounts, state::attachment_dir::Place},
    units::parse_size,
};

/// Where changes are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Upper {
    /// In the state directory: they outlive a reboot.
    #[default]
    State,
    /// In memory, at most so much of it (half of it when none is said): until
    /// they are discarded or the machine is started anew.
    Tmpfs {
        /// Bytes.
        size: Option<u64>,
    },
    /// As changed blocks of the disk, in the state directory; not an overlay.
    Block,
}

impl Upper {
    /// Whether both are in the same place, whatever room they have there.
    pub(crate) fn is_beside(self, other: Self) -> bool {
        mem::discriminant(&self) == mem::discriminant(&other)
    }
}

impl FromStr for Upper {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size = match text.split_once(':') {
            None if text == "state" => return Ok(Self::State),
            None if text == "block" => return Ok(Self::Block),
            None if text == "tmpfs" => None,
            Some(("tmpfs", size)) => Some(parse_size(size).ok_or("expected a size like 512M")?),
            _ => return Err("expected state, tmpfs or tmpfs:SIZE".to_owned()),
        };
        Ok(Self::Tmpfs { size })
    }
}

impl TryFrom<String> for Upper {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Upper> for String {
    fn from(upper: Upper) -> Self {
        upper.to_string()
    }
}

impl fmt::Display for Upper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State => write!(f, "state"),
            Self::Block => write!(f, "block"),
            Self::Tmpfs { size: None } => write!(f, "tmpfs"),
            Self::Tmpfs { size: Some(size) } => write!(f, "tmpfs:{size}"),
        }
    }
}

/// The two directories that overlayfs wants for one diff.
#[derive(Clone, Debug)]
pub(crate) struct Layers {
    pub(crate) upper: PathBuf,
    pub(crate) work: PathBuf,
}

impl Layers {
    pub(crate) fn new(place: &Place, upper: Upper) -> Self {
        let within = match upper {
            Upper::State => place.directory().to_owned(),
            Upper::Block => place.blocks(),
            Upper::Tmpfs { .. } => place.memory(),
        };
        Self {
            upper: within.join("upper"),
            work: within.join("work"),
        }
    }
}

/// Makes the layers ready; whether there were changes from before.
pub(crate) fn prepare(
    place: &Place,
    kind: Upper,
    root: &Metadata,
    owner: (u32, u32),
) -> Result<bool> {
    if has_changes(place, kind) {
        return Ok(true);
    }
    discard(place)?;
    let Layers { upper, work } = Layers::new(place, kind);
    let make = || {
        if let Upper::Tmpfs { size } = kind {
            mount_memory(place, size)?;
        }
        fs::create_dir_all(&upper)?;
        fs::create_dir_all(work)?;
        chown(&upper, Some(owner.0), Some(owner.1))?;
        fs::set_permissions(&upper, Permissions::from_mode(root.mode() & 0o7777))
    };
    make().with_context(|| format!("cannot make the upper layer {}", upper.display()))?;
    Ok(false)
}

fn mount_memory(place: &Place, size: Option<u64>) -> io::Result<()> {
    let memory = place.memory();
    fs::create_dir_all(&memory)?;
    let options = size.map_or_else(
        || "mode=0700".to_owned(),
        |size| format!("mode=0700,size={size}"),
    );
    let options = CString::new(options)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    Ok(mount(
        "blockd",
        &memory,
        "tmpfs",
        flags,
        options.as_c_str(),
    )?)
}

/// Whether anything was changed in this place's upper layer.
pub(crate) fn has_changes(place: &Place, kind: Upper) -> bool {
    if kind == Upper::Block {
        // To mount it for writing was a change.
        return place
            .blocks()
            .read_dir()
            .is_ok_and(|mut files| files.next().is_some());
    }
    let upper = Layers::new(place, kind).upper;
    upper.exists() && !has_only_copies(&upper).unwrap_or(false)
}

/// A lock file that comes and goes, as every `git status` makes one, leaves
/// copies of directories of the lower layer and nothing in them.
fn has_only_copies(directory: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        if !entry.file_type()?.is_dir() || !is_copy(&path) || !has_only_copies(&path)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a directory of the upper layer stands for the one below and no
/// other: it knows where it comes from, was not renamed, hides nothing.
fn is_copy(directory: &Path) -> bool {
    let has = |name| lgetxattr(directory, name, &mut [0_u8; 0][..]).is_ok();
    has("trusted.overlay.origin")
        && !has("trusted.overlay.redirect")
        && !has("trusted.overlay.opaque")
}

/// Throws the changes away, wherever they are.
pub(crate) fn discard(place: &Place) -> Result<()> {
    let Layers { upper, work } = Layers::new(place, Upper::State);
    for layer in [upper, work, place.blocks()] {
        match fs::remove_dir_all(&layer) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", layer.display()));
            }
            _ => {}
        }
    }
    let memory = place.memory();
    while Mounts::read()?.at(&memory).is_some() {
        unmount(&memory, UnmountFlags::NOFOLLOW)
            .with_context(|| format!("cannot unmount {}", memory.display()))?;
    }
    let _gone = fs::remove_dir(memory);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upper_reads_back_as_it_is_written() {
        for text in ["state", "block", "tmpfs", "tmpfs:1024"] {
            assert_eq!(text.parse::<Upper>().unwrap().to_string(), text);
        }
        let size = Some(2 << 30);
        assert_eq!("tmpfs:2G".parse(), Ok(Upper::Tmpfs { size }));
        for text in ["", "disk", "tmpfs:", "tmpfs:x", "state:1"] {
            assert!(text.parse::<Upper>().is_err(), "{text}");
        }
    }
}
