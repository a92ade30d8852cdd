//! The files of a snapshot.

#![warn(clippy::arithmetic_side_effects)]

use std::{
    fs::File,
    io::{self, IoSliceMut},
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::Arc,
};

use gix::bstr::BString;
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use crate::{
    error::{Error, Kind, Result},
    git::open_files::{HeldFile, OpenFiles},
    numbers::to_u64,
};

/// A file of `.git/objects`.
#[derive(Debug)]
pub(crate) struct SnapshotFile {
    /// The path relative to `.git/objects`.
    pub(crate) path: BString,
    /// The length in bytes.
    pub(crate) size: u64,
    source: Source,
}

/// Where the content of a file comes from.
#[derive(Debug)]
enum Source {
    /// Nowhere: it is empty, and exists only in images.
    Nothing,
    /// From a file that is opened when it is read.
    OnDisk(OnDisk),
    /// From a file that is open for as long as the snapshot.
    Held(HeldFile),
}

/// A file of the snapshot's directory.
#[derive(Debug)]
struct OnDisk {
    id: u64,
    home: Arc<Home>,
}

/// The directory of the files of one snapshot.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) objects: PathBuf,
    pub(super) files: Arc<OpenFiles>,
}

impl Home {
    /// The path of a file on disk.
    pub(super) fn path_to(&self, path: &str) -> PathBuf {
        self.objects.join(path)
    }
}

impl Drop for OnDisk {
    fn drop(&mut self) {
        self.home.files.forget(self.id);
    }
}

impl SnapshotFile {
    /// A file below `home` that is opened when it is read.
    pub(super) fn on_disk(path: &str, size: u64, home: &Arc<Home>) -> Self {
        let source = Source::OnDisk(OnDisk {
            id: OpenFiles::new_id(),
            home: Arc::clone(home),
        });
        let path = path.into();
        Self { path, size, source }
    }

    /// A file below `home` that is held open.
    ///
    /// # Errors
    ///
    /// As [`OpenFiles::hold`].
    pub(super) fn held(path: &str, size: u64, home: &Home) -> Result<Self> {
        let source = Source::Held(home.files.hold(&home.path_to(path))?);
        let path = path.into();
        Ok(Self { path, size, source })
    }

    pub(super) fn empty(path: BString) -> Self {
        Self {
            path,
            size: 0,
            source: Source::Nothing,
        }
    }

    /// Fills `buffer` with the content from byte `offset` on.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] if the range does not lie in the file,
    /// [`Kind::Corrupt`] if the file on disk is shorter than it was,
    /// [`Kind::NotFound`] if it was removed, [`Kind::Io`] if the disk fails.
    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.check_range(offset, buffer.len())?;
        let read = match &self.source {
            Source::Nothing => return Ok(()),
            Source::Held(held) => held.file.read_exact_at(buffer, offset),
            Source::OnDisk(OnDisk { id, home }) => {
                // The paths of a manifest are ASCII.
                let path = home.path_to(&self.path.to_string());
                home.files.open(*id, &path)?.read_exact_at(buffer, offset)
            }
        };
        read.map_err(|error| self.failed(offset, error))
    }

    /// Like [`SnapshotFile::read_at`], but only from the page cache: returns
    /// `false`, with unspecified content of `buffer`, if a disk would have to be
    /// waited for.
    ///
    /// # Errors
    ///
    /// As for [`SnapshotFile::read_at`].
    pub(crate) fn try_read_cached(&self, offset: u64, buffer: &mut [u8]) -> Result<bool> {
        self.check_range(offset, buffer.len())?;
        if buffer.is_empty() {
            return Ok(true);
        }
        match &self.source {
            Source::Nothing => Ok(true),
            Source::Held(held) => self.read_page_cache(&held.file, offset, buffer),
            Source::OnDisk(OnDisk { id, home }) => match home.files.cached(*id) {
                Some(file) => self.read_page_cache(&file, offset, buffer),
                None => Ok(false),
            },
        }
    }

    fn read_page_cache(&self, file: &File, offset: u64, buffer: &mut [u8]) -> Result<bool> {
        let (mut at, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let length = {
                let mut pieces = [IoSliceMut::new(rest)];
                match preadv2(file, &mut pieces, at, ReadWriteFlags::NOWAIT) {
                    Ok(0) => return Err(self.failed(at, io::ErrorKind::UnexpectedEof.into())),
                    Ok(length) => length,
                    Err(Errno::INTR) => continue,
                    // Not in the page cache, or RWF_NOWAIT is not supported.
                    Err(_) => return Ok(false),
                }
            };
            at = at
                .checked_add(to_u64(length))
                .expect("an offset in the file");
            rest = rest.split_at_mut(length).1;
        }
        Ok(true)
    }

    fn check_range(&self, offset: u64, length: usize) -> Result<()> {
        if offset
            .checked_add(to_u64(length))
            .is_some_and(|end| end <= self.size)
        {
            return Ok(());
        }
        let (path, size) = (&self.path, self.size);
        let message =
            format!("{length} bytes at offset {offset} are not in {path} of {size} bytes");
        Err(Error::new(Kind::Invalid, message))
    }

    fn failed(&self, offset: u64, error: io::Error) -> Error {
        let kind = match error.kind() {
            io::ErrorKind::UnexpectedEof => Kind::Corrupt,
            _ => Kind::Io,
        };
        let message = format!("cannot read {} at offset {offset}: {error}", self.path);
        Error::with_source(kind, message, error)
    }
}
