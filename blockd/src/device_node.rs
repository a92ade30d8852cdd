//! Device nodes (mknod(2)): the one in `/dev`, or one of our own where that is
//! missing or is another device's.
//!
//! A container, or a small system, may have a `/dev` that nobody keeps up to date,
//! with the nodes that somebody thought of; the kernel has its devices all the same.
//! A node of our own lies in a tmpfs that is mounted nowhere: nothing is written
//! anywhere, and it is gone with this process.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rustix::{
    fs::{Dev, FileType, Mode, StatVfsMountFlags, makedev, mknodat, statvfs},
    mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen},
};

/// The major number of miscellaneous devices; the minor ones below are those of
/// Documentation/admin-guide/devices.txt of the kernel.
const MISC_MAJOR: u32 = 10;

/// A device that the kernel has, or may have once its module is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    /// The name of its node in `/dev`.
    name: OsString,
    kind: FileType,
    number: Dev,
}

/// A device node that is the device's. It has a path as long as this exists.
#[derive(Debug)]
pub(crate) struct Node {
    path: PathBuf,
    #[expect(dead_code, reason = "the tmpfs lives as long as it is open")]
    directory: Option<OwnedFd>,
}

impl Device {
    /// What FUSE file systems are served through.
    pub(crate) fn fuse() -> Self {
        Self::misc("fuse", 229)
    }

    /// What hands out loop devices.
    pub(crate) fn loop_control() -> Self {
        Self::misc("loop-control", 237)
    }

    fn misc(name: &str, minor: u32) -> Self {
        Self {
            name: name.into(),
            kind: FileType::CharacterDevice,
            number: makedev(MISC_MAJOR, minor),
        }
    }

    /// A block device by the path that its node has where there is one, `/dev/NAME`.
    ///
    /// # Errors
    ///
    /// When the kernel has no such device, or sysfs is not mounted.
    pub(crate) fn block(path: &Path) -> Result<Self> {
        let name = path
            .file_name()
            .with_context(|| format!("{} names no device", path.display()))?;
        let file = Path::new("/sys/class/block").join(name).join("dev");
        let shown = file.display();
        let text = fs::read_to_string(&file).with_context(|| {
            format!("cannot read {shown}: this kernel has no such device, or sysfs is not mounted")
        })?;
        let number = text.trim().split_once(':').and_then(|(major, minor)| {
            let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
            Some(makedev(major, minor))
        });
        Ok(Self {
            name: name.to_owned(),
            kind: FileType::BlockDevice,
            number: number.with_context(|| format!("{shown} has no device number: {text:?}"))?,
        })
    }

    /// Where its node is looked for.
    pub(crate) fn path(&self) -> PathBuf {
        Path::new("/dev").join(&self.name)
    }

    /// Whether `/dev` has a node of this device that may be opened: no other
    /// device's, and not on a file system mounted with `nodev`.
    pub(crate) fn is_in_dev(&self) -> bool {
        let path = self.path();
        let is_this = fs::metadata(&path).is_ok_and(|found| {
            let kind = found.file_type();
            let is_kind = match self.kind {
                FileType::BlockDevice => kind.is_block_device(),
                _ => kind.is_char_device(),
            };
            is_kind && found.rdev() == self.number
        });
        let is_usable = |path: &Path| {
            statvfs(path).is_ok_and(|found| !found.f_flag.contains(StatVfsMountFlags::NODEV))
        };
        is_this && is_usable(&path)
    }

    /// The node in `/dev`, else one that is made.
    ///
    /// # Errors
    ///
    /// When it is not in `/dev` and this process may not make nodes: without
    /// `CAP_MKNOD` and `CAP_SYS_ADMIN`, or in a control group without the device.
    pub(crate) fn node(&self) -> Result<Node> {
        let path = self.path();
        if self.is_in_dev() {
            let directory = None;
            return Ok(Node { path, directory });
        }
        let make = || {
            let directory = self.make()?;
            // Not `/proc/self`: a program that is started with this path has another.
            let process = fs::read_link("/proc/self")?;
            let open = directory.as_raw_fd();
            let path = Path::new("/proc").join(process);
            let path = path.join("fd").join(open.to_string()).join(&self.name);
            let directory = Some(directory);
            io::Result::Ok(Node { path, directory })
        };
        make().with_context(|| {
            let path = path.display();
            format!("{path} is not there, or is not that device, and a node cannot be made")
        })
    }

    /// A directory with the node as its only file.
    fn make(&self) -> rustix::io::Result<OwnedFd> {
        let tmpfs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(tmpfs.as_fd())?;
        let directory = fsmount(
            tmpfs.as_fd(),
            FsMountFlags::FSMOUNT_CLOEXEC,
            MountAttrFlags::MOUNT_ATTR_NOEXEC,
        )?;
        let mode = Mode::RUSR | Mode::WUSR;
        mknodat(&directory, &self.name, self.kind, mode, self.number)?;
        Ok(directory)
    }

    /// Opens it, wherever its node is.
    ///
    /// # Errors
    ///
    /// Those of [`Device::node`], and those of open(2): the driver is not there, or a
    /// container may not use the device.
    pub(crate) fn open(&self, options: &OpenOptions) -> Result<File> {
        let node = self.node()?;
        options
            .open(&node.path)
            .with_context(|| format!("cannot open {}", self.path().display()))
    }
}

impl Node {
    /// A path that this process and programs that it starts can open.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, os::unix::fs::MetadataExt};

    use super::*;

    /// The device that reads as zeroes, as if it were called otherwise.
    fn zero(name: &str) -> Device {
        Device {
            number: makedev(1, 5),
            ..Device::misc(name, 0)
        }
    }

    #[test]
    fn a_device_without_its_node_is_opened_all_the_same() {
        let mut options = OpenOptions::new();
        options.read(true);
        assert!(zero("zero").is_in_dev());
        // One that is missing, and one that is another device's.
        for name in ["no-such-node", "null"] {
            let device = zero(name);
            assert!(!device.is_in_dev(), "{name}");
            let mut byte = [1];
            let mut file = device.open(&options).unwrap();
            file.read_exact(&mut byte).unwrap();
            assert_eq!(byte, [0], "{name}");
            let node = device.node().unwrap();
            let path = node.path().to_owned();
            assert_eq!(fs::metadata(&path).unwrap().rdev(), makedev(1, 5));
            drop(node);
            assert!(!path.exists(), "{}", path.display());
        }
    }

    #[test]
    fn a_block_device_is_known_by_its_number() {
        let error = Device::block(Path::new("/dev/no-such")).unwrap_err();
        assert!(error.to_string().contains("no such device"), "{error}");
        let name = fs::read_dir("/sys/class/block").unwrap().next();
        let Some(name) = name else { return };
        let name = name.unwrap().file_name();
        let device = Device::block(&Path::new("/dev").join(&name)).unwrap();
        let number = fs::read_to_string(Path::new("/sys/class/block").join(name).join("dev"));
        let (major, minor) = (
            rustix::fs::major(device.number),
            rustix::fs::minor(device.number),
        );
        assert_eq!(number.unwrap(), format!("{major}:{minor}\n"));
    }
}
