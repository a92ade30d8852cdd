//! The directories that repositories may lead into, and how their files are
//! opened.
//!
//! Who can write into a repository may put a link, a FIFO or a device in the
//! place of any of its files, and name any directory in `info/alternates`.

use std::{
    fs::{self, File, FileType, OpenOptions},
    io::{self, Read},
    os::{
        fd::AsRawFd,
        unix::fs::{FileTypeExt, OpenOptionsExt},
    },
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, openat2},
    io::Errno,
};

use crate::error::{Barred, Error, Result};

/// How a file is opened that may turn out to be a FIFO or a terminal.
const WITHOUT_WAITING: OFlags = OFlags::NONBLOCK.union(OFlags::NOCTTY);

/// The directories that files may lie in. Links are followed, so long as they
/// lead into one of these.
#[derive(Clone, Debug, Default)]
pub struct Wall {
    /// Their canonical paths; `None` for all there are.
    roots: Option<Arc<[PathBuf]>>,
}

impl Wall {
    /// Files may lie anywhere.
    pub fn none() -> Self {
        Self::default()
    }

    /// Files must lie below one of these directories.
    ///
    /// # Errors
    ///
    /// [`Kind::NotFound`](crate::Kind::NotFound) if one of them does not exist.
    pub fn around<P: AsRef<Path>>(directories: impl IntoIterator<Item = P>) -> Result<Self> {
        let canonical = |path: P| {
            let path = path.as_ref();
            fs::canonicalize(path).map_err(|error| Error::io("use", path, error))
        };
        let roots = directories
            .into_iter()
            .map(canonical)
            .collect::<Result<_>>();
        Ok(Self {
            roots: Some(roots?),
        })
    }

    /// The same, with one more directory, of which `path` is canonical.
    pub(super) fn with(&self, path: &Path) -> Self {
        let roots = self.roots.as_ref().map(|roots| {
            let more = roots.iter().cloned().chain([path.to_path_buf()]);
            more.collect()
        });
        Self { roots }
    }

    /// The directories; `None` if files may lie anywhere.
    pub fn roots(&self) -> Option<&[PathBuf]> {
        self.roots.as_deref()
    }

    /// Whether a canonical path lies inside.
    fn has(&self, canonical: &Path) -> bool {
        let roots = self.roots.as_deref();
        roots.is_none_or(|roots| roots.iter().any(|root| canonical.starts_with(root)))
    }

    /// The canonical path of a file or directory that exists.
    ///
    /// # Errors
    ///
    /// It leads out ([`Barred`]), or cannot be looked at.
    pub(super) fn admit(&self, path: &Path) -> io::Result<PathBuf> {
        let canonical = fs::canonicalize(path)?;
        if self.has(&canonical) {
            return Ok(canonical);
        }
        Err(Barred::LeadsOut.into())
    }

    /// Opens a regular file for reading. Neither waits for a FIFO, nor opens a
    /// device.
    ///
    /// # Errors
    ///
    /// It leads out or is not a regular file ([`Barred`]), or cannot be opened.
    pub(super) fn open(&self, path: &Path) -> io::Result<File> {
        if let Some(opened) = self.open_without_links(path) {
            let file = opened?;
            regular(file.metadata()?.file_type())?;
            return Ok(file);
        }
        // Looked at before it is opened: opening a device may do something.
        regular(fs::metadata(path)?.file_type())?;
        let flags = i32::try_from(WITHOUT_WAITING.bits()).expect("flags of open(2) are an int");
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)?;
        regular(file.metadata()?.file_type())?;
        if self.roots.is_some() && !self.has(&place(&file, path)?) {
            return Err(Barred::LeadsOut.into());
        }
        Ok(file)
    }

    /// Opens what lies below one of the directories by a path without a link:
    /// one call where [`Wall::open`] needs four, for each of many loose objects.
    /// `None` if there is a link on the way, or if the kernel (before 5.6) or a
    /// filter of system calls does not have `openat2(2)`.
    ///
    /// A device is opened, as none can be made below a directory but by root; a
    /// socket (`ENXIO`) is left to `Wall::open` to name.
    fn open_without_links(&self, path: &Path) -> Option<io::Result<File>> {
        let plain = !path.components().any(|part| part == Component::ParentDir);
        if self.roots.is_none() || !plain || !self.has(path) {
            return None;
        }
        let flags = WITHOUT_WAITING | OFlags::RDONLY | OFlags::CLOEXEC;
        match openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
            Ok(file) => Some(Ok(file.into())),
            Err(Errno::LOOP | Errno::NOSYS | Errno::PERM | Errno::NXIO) => None,
            Err(error) => Some(Err(error.into())),
        }
    }

    /// The content of a regular file of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// As for [`Wall::open`]; or it is longer.
    pub(super) fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self
            .open(path)?
            .take(limit.saturating_add(1))
            .read_to_end(&mut bytes)?;
        if u64::try_from(read).is_ok_and(|read| read <= limit) {
            return Ok(bytes);
        }
        let message = format!("it is longer than {limit} bytes");
        Err(io::Error::new(io::ErrorKind::FileTooLarge, message))
    }
}

/// The canonical path of an open file: that of the file which was opened, also
/// where a link on the way to it is changed at the same time.
fn place(file: &File, path: &Path) -> io::Result<PathBuf> {
    match fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())) {
        Ok(place) => Ok(place),
        // Without a /proc.
        Err(_) => fs::canonicalize(path),
    }
}

/// Checks that a file is a regular one.
pub(super) fn regular(kind: FileType) -> io::Result<()> {
    let found = match kind {
        _ if kind.is_file() => return Ok(()),
        _ if kind.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        _ if kind.is_fifo() => "a FIFO",
        _ if kind.is_socket() => "a socket",
        _ if kind.is_symlink() => "a symlink",
        _ => "a device",
    };
    Err(Barred::NotRegular(found).into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{FileType as Kind, mknodat};

    use super::*;

    fn barred(error: &io::Error) -> &Barred {
        error.get_ref().unwrap().downcast_ref().unwrap()
    }

    #[test]
    fn a_file_is_opened_where_it_lies_and_not_where_its_path_says() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, outside) = (dir.path().join("in"), dir.path().join("out"));
        for path in [&inside, &outside] {
            fs::create_dir(path).unwrap();
            fs::write(path.join("file"), "x").unwrap();
        }
        let wall = Wall::around([&inside]).unwrap();
        symlink(outside.join("file"), inside.join("link")).unwrap();
        symlink(&outside, inside.join("folder")).unwrap();
        symlink("file", inside.join("near")).unwrap();
        for path in ["file", "near"] {
            assert!(wall.open(&inside.join(path)).is_ok(), "{path}");
            assert!(wall.admit(&inside.join(path)).is_ok(), "{path}");
        }
        for path in ["link", "folder/file", "../out/file"] {
            let path = inside.join(path);
            assert!(matches!(
                barred(&wall.open(&path).unwrap_err()),
                Barred::LeadsOut
            ));
            assert!(matches!(
                barred(&wall.admit(&path).unwrap_err()),
                Barred::LeadsOut
            ));
            assert!(Wall::none().open(&path).is_ok());
        }
        assert!(
            wall.with(&fs::canonicalize(&outside).unwrap())
                .open(&inside.join("link"))
                .is_ok()
        );
    }

    #[test]
    fn what_is_no_regular_file_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        mknodat(CWD, &fifo, Kind::Fifo, Mode::RUSR, 0).unwrap();
        let error = Wall::none().open(&fifo).unwrap_err();
        assert!(matches!(barred(&error), Barred::NotRegular("a FIFO")));
        let device = Wall::none().open(Path::new("/dev/zero")).unwrap_err();
        assert!(matches!(barred(&device), Barred::NotRegular("a device")));
        assert!(Wall::none().read(dir.path(), 10).is_err());
    }

    #[test]
    fn no_more_is_read_than_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "four").unwrap();
        assert_eq!(Wall::none().read(&path, 4).unwrap(), b"four");
        assert!(Wall::none().read(&path, 3).is_err());
    }
}
