//! The upper layer of the overlay, or the changed blocks: what was written at a
//! mountpoint.

use std::{
    ffi::{CStr, CString, OsStr},
    fs::{self, Metadata, Permissions},
    io,
    os::{
        fd::OwnedFd,
        unix::{
            ffi::OsStrExt,
            fs::{MetadataExt, PermissionsExt, chown},
        },
    },
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, fgetxattr, openat, unlinkat},
    io::Errno,
    mount::{MountFlags, UnmountFlags, mount, unmount},
};

use super::{
    beneath::{self, Entry, Next},
    discarded, git_hook,
    mounts::Mounts,
};
use crate::attach::state::{
    attachment_dir::AttachmentDir,
    directory::{list_directory, remove_empty_directory},
    upper_kind::UpperKind,
};

/// The two directories that overlayfs needs to keep changes.
#[derive(Clone, Debug)]
pub(crate) struct OverlayDirs {
    pub(crate) upper: PathBuf,
    pub(crate) work: PathBuf,
    /// Whether they are to be mounted with the option `volatile`.
    pub(crate) volatile: bool,
}

impl OverlayDirs {
    /// Those of a mountpoint; `None` where changes are blocks and not files.
    pub(crate) fn of(dir: &AttachmentDir, kind: UpperKind) -> Option<Self> {
        match kind {
            UpperKind::State => Some(Self::in_directory(&dir.path())),
            UpperKind::Volatile => Some(Self {
                volatile: true,
                ..Self::in_directory(&dir.path())
            }),
            UpperKind::Tmpfs { .. } => Some(Self::in_directory(&dir.tmpfs())),
            UpperKind::Block => None,
        }
    }

    pub(crate) fn in_directory(directory: &Path) -> Self {
        Self {
            upper: directory.join("upper"),
            work: directory.join("work"),
            volatile: false,
        }
    }
}

/// Makes an empty upper layer, with the mode of `root` and this owner (user and
/// group). An upper layer that was there is discarded.
///
/// # Errors
///
/// When the old one cannot be moved, or the new one cannot be made.
pub(crate) fn create(
    dir: &AttachmentDir,
    kind: UpperKind,
    root: &Metadata,
    owner: (u32, u32),
) -> Result<()> {
    discard(dir)?;
    let Some(OverlayDirs { upper, work, .. }) = OverlayDirs::of(dir, kind) else {
        return Ok(());
    };
    let make = || {
        if let UpperKind::Tmpfs { size } = kind {
            mount_tmpfs(&dir.tmpfs(), size)?;
        }
        fs::create_dir_all(&upper)?;
        fs::create_dir_all(work)?;
        chown(&upper, Some(owner.0), Some(owner.1))?;
        fs::set_permissions(&upper, Permissions::from_mode(root.mode() & 0o7777))
    };
    make().with_context(|| format!("cannot make the upper layer {}", upper.display()))
}

fn mount_tmpfs(target: &Path, size: Option<u64>) -> io::Result<()> {
    fs::create_dir_all(target)?;
    let options = size.map_or_else(
        || "mode=0700".to_owned(),
        |size| format!("mode=0700,size={size}"),
    );
    let options = CString::new(options)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("blockd", target, "tmpfs", flags, options.as_c_str())?;
    Ok(())
}

/// Whether anything was changed at this mountpoint.
///
/// # Errors
///
/// When a directory of the upper layer cannot be read.
pub(crate) fn has_changes(dir: &AttachmentDir, kind: UpperKind) -> Result<bool> {
    let (path, has_changes) = match OverlayDirs::of(dir, kind) {
        // To mount an ext4 for writing changes it.
        None => (dir.blocks(), is_not_empty(&dir.blocks())),
        Some(dirs) => {
            let only_copies = has_only_copies(&dirs.upper);
            (dirs.upper, only_copies.map(|only_copies| !only_copies))
        }
    };
    has_changes.with_context(|| format!("cannot read the changes in {}", path.display()))
}

fn is_not_empty(directory: &Path) -> io::Result<bool> {
    Ok(list_directory(directory)?.next().transpose()?.is_some())
}

/// Whether an upper layer has only copies of directories of the lower layer, and
/// what attach wrote, or is not there. A lock file that is made and removed, as by
/// every `git status`, leaves those behind.
fn has_only_copies(directory: &Path) -> io::Result<bool> {
    let Some(root) = beneath::open_root(directory)? else {
        return Ok(true);
    };
    let mut only_copies = true;
    beneath::walk(root, |entry| {
        if !entry.is_directory && entry.path() == git_hook::INCLUDED.as_bytes() {
            return Ok(Next::GoOn);
        }
        only_copies = entry.is_directory && is_copy(entry)?;
        Ok(if only_copies { Next::GoOn } else { Next::Stop })
    })?;
    Ok(only_copies)
}

/// Whether a directory of the upper layer is a copy of the one at the same path
/// of the lower layer, and neither was renamed nor hides anything.
fn is_copy(entry: &Entry<'_>) -> io::Result<bool> {
    let Some(directory) = beneath::open_directory(entry.directory, entry.name)? else {
        return Ok(false);
    };
    let has = |name| has_attribute(&directory, name);
    // Attach makes that of its own file; the kernel marks it when it is first seen.
    let is_ours =
        Path::new(git_hook::INCLUDED).parent() == Some(Path::new(OsStr::from_bytes(&entry.path())));
    Ok((is_ours || has("trusted.overlay.origin")?)
        && !has("trusted.overlay.redirect")?
        && !has("trusted.overlay.opaque")?)
}

fn has_attribute(file: &OwnedFd, name: &str) -> io::Result<bool> {
    match fgetxattr(file, name, &mut [0_u8; 0][..]) {
        Ok(_) => Ok(true),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(false),
        Err(error) => Err(io::Error::from(error)),
    }
}

/// The branch, without `refs/heads/`, that was committed to in an upper layer;
/// `None` if there is none, or more than one.
///
/// # Errors
///
/// When the upper layer cannot be read.
pub(crate) fn only_branch(dir: &AttachmentDir, kind: UpperKind) -> Result<Option<String>> {
    let Some(OverlayDirs { upper, .. }) = OverlayDirs::of(dir, kind) else {
        return Ok(None);
    };
    let list = || -> io::Result<Vec<Vec<u8>>> {
        let mut branches = Vec::new();
        let Some(logs) = open_below(&upper, ".git/logs/refs/heads")? else {
            return Ok(branches);
        };
        beneath::walk(logs, |entry| {
            if !entry.is_directory {
                branches.push(entry.path());
            }
            Ok(if branches.len() < 2 {
                Next::GoOn
            } else {
                Next::Stop
            })
        })?;
        Ok(branches)
    };
    let branches = list().with_context(|| format!("cannot read {}", upper.display()))?;
    let [branch] = branches.as_slice() else {
        return Ok(None);
    };
    Ok(str::from_utf8(branch).ok().map(str::to_owned))
}

/// A directory of an upper layer. What runs in the work tree has made it: no link is
/// followed.
fn open_below(upper: &Path, path: &str) -> io::Result<Option<OwnedFd>> {
    match beneath::open_root(upper)? {
        Some(root) => beneath::open_directory(root, path),
        None => Ok(None),
    }
}

/// Removes from an upper layer what refers to the packs of a lower layer that it
/// is no longer over: copies of their inodes alone, whose content was to come
/// from below (git sets the time of a pack that has an object it would write),
/// and a list of all packs. What git has written itself stays.
///
/// # Errors
///
/// When the upper layer cannot be read or written.
pub(crate) fn forget_copies_of_objects(dir: &AttachmentDir, kind: UpperKind) -> Result<()> {
    let Some(OverlayDirs { upper, .. }) = OverlayDirs::of(dir, kind) else {
        return Ok(());
    };
    let forget = || -> io::Result<()> {
        let Some(objects) = open_below(&upper, ".git/objects")? else {
            return Ok(());
        };
        beneath::walk(objects, |entry| {
            if !entry.is_directory && refers_to_packs(entry)? {
                unlinkat(entry.directory, entry.name, AtFlags::empty())?;
            }
            Ok(Next::GoOn)
        })
    };
    forget().with_context(|| format!("cannot change the objects in {}", upper.display()))
}

/// Whether a file is a list of all packs, or has its content below.
fn refers_to_packs(entry: &Entry<'_>) -> io::Result<bool> {
    if entry.name == MULTI_PACK_INDEX {
        return Ok(true);
    }
    if FileType::from_raw_mode(entry.stat()?.st_mode) != FileType::RegularFile {
        return Ok(false);
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match openat(entry.directory, entry.name, flags, Mode::empty()) {
        Ok(file) => has_attribute(&file, "trusted.overlay.metacopy"),
        // It was replaced meanwhile.
        Err(Errno::LOOP | Errno::NXIO | Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// git's index of several packs.
const MULTI_PACK_INDEX: &CStr = c"multi-pack-index";

/// Moves the changes of a mountpoint to what [`discarded::remove`] removes, wherever
/// they are kept.
///
/// # Errors
///
/// When they cannot be moved, or their tmpfs cannot be unmounted.
pub(crate) fn discard(dir: &AttachmentDir) -> Result<()> {
    let OverlayDirs { upper, work, .. } = OverlayDirs::in_directory(&dir.path());
    for directory in [upper, work, dir.blocks()] {
        discarded::move_away(dir, &directory)
            .with_context(|| format!("cannot remove {}", directory.display()))?;
    }
    let tmpfs = dir.tmpfs();
    while Mounts::read()?.at(&tmpfs).is_some() {
        unmount(&tmpfs, UnmountFlags::NOFOLLOW)
            .with_context(|| format!("cannot unmount {}", tmpfs.display()))?;
    }
    remove_empty_directory(&tmpfs).with_context(|| format!("cannot remove {}", tmpfs.display()))
}
