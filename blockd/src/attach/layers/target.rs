//! The directory that something is mounted at, looked up once: whoever may rename
//! directories above it must not make root mount, or unmount, elsewhere.

use std::{
    fs, io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use rustix::{
    fs::{AtFlags, CWD, Dir, Mode, OFlags, ResolveFlags, StatxFlags, openat, openat2, statx},
    io::Errno,
    mount::UnmountFlags,
};

use super::mounts::Mounts;

/// What the canonical path of a directory does not lead through.
const NO_LINKS: ResolveFlags = ResolveFlags::NO_SYMLINKS.union(ResolveFlags::NO_MAGICLINKS);

/// A directory to mount at.
#[derive(Debug)]
pub(crate) struct Target {
    directory: OwnedFd,
    path: PathBuf,
}

impl Target {
    /// Opens the directory at a canonical path.
    ///
    /// # Errors
    ///
    /// Those of openat2(2); ELOOP or ENOTDIR when a link has been put on the way.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            directory: open(path)?,
            path: path.to_owned(),
        })
    }

    /// The canonical path that it was opened by.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is nothing in it.
    ///
    /// # Errors
    ///
    /// Those of opendir(3).
    pub(crate) fn is_empty(&self) -> io::Result<bool> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let listed = openat(&self.directory, c".", flags, Mode::empty())?;
        for entry in Dir::new(listed)? {
            let entry = entry?;
            if entry.file_name() != c"." && entry.file_name() != c".." {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Where mount(2) finds this very directory, whatever its path leads to by now.
    pub(crate) fn to_mount_at(&self) -> PathBuf {
        descriptor(&self.directory)
    }

    /// Checks after a mount that it is where it was to be, and takes it away if not.
    ///
    /// # Errors
    ///
    /// When the directory has been moved, or mounts cannot be read.
    pub(crate) fn check_place(&self) -> Result<()> {
        let place = fs::read_link(self.to_mount_at()).context("cannot read /proc/self/fd")?;
        if place == self.path {
            return Ok(());
        }
        let (shown, now) = (self.path.display(), place.display());
        if let Some(mount) = Mounts::read()?.at(&place) {
            let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
            unmount(&place, mount.id, flags).with_context(|| {
                format!("{shown} was moved to {now}, and is still mounted there")
            })?;
        }
        bail!("{shown} was moved to {now} while it was attached: attach again")
    }
}

/// Unmounts the mount of this id at a canonical path.
///
/// # Errors
///
/// Those of umount(2); ELOOP or ENOTDIR when a link has been put on the way, and EINVAL when
/// another mount, or none, is there by now.
pub(crate) fn unmount(path: &Path, id: u64, flags: UnmountFlags) -> rustix::io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::INVAL);
    };
    // A mountpoint itself can be neither renamed nor replaced.
    let parent = open(parent)?;
    let how = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    let found = statx(&parent, name, how, StatxFlags::MNT_ID)?;
    let is_known = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID);
    if is_known && found.stx_mnt_id != id {
        return Err(Errno::INVAL);
    }
    rustix::mount::unmount(descriptor(&parent).join(name), flags)
}

pub(super) fn open(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat2(CWD, path, flags, Mode::empty(), NO_LINKS)
}

fn descriptor(directory: &OwnedFd) -> PathBuf {
    format!("/proc/self/fd/{}", directory.as_raw_fd()).into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_directory_is_the_same_after_its_path_leads_elsewhere() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        let (parent, other) = (top.join("parent"), top.join("other"));
        fs::create_dir_all(parent.join("m")).unwrap();
        fs::create_dir_all(other.join("m")).unwrap();
        let target = Target::open(&parent.join("m")).unwrap();
        assert!(target.is_empty().unwrap());
        target.check_place().unwrap();
        fs::write(parent.join("m/file"), "").unwrap();
        assert!(!target.is_empty().unwrap());

        fs::rename(&parent, top.join("moved")).unwrap();
        symlink(&other, &parent).unwrap();
        assert!(target.to_mount_at().join("file").exists());
        let error = target.check_place().unwrap_err().to_string();
        assert!(error.contains("was moved to"), "{error}");
        Target::open(&parent.join("m")).unwrap_err();
        let unmounted = unmount(&parent.join("m"), 1, UnmountFlags::NOFOLLOW);
        assert!(matches!(unmounted, Err(Errno::LOOP | Errno::NOTDIR)));
        let unmounted = unmount(&other.join("m"), u64::MAX, UnmountFlags::NOFOLLOW);
        assert_eq!(unmounted, Err(Errno::INVAL));
    }
}
