//! One file of a snapshot, read where it lies.

use std::{
    fs::File,
    io::{self, IoSliceMut},
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::OnceLock,
};

use gix::bstr::BString;
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use crate::{
    error::{Error, Kind, Result},
    git::width::to_u64,
};

/// One file under `.git/objects`.
#[derive(Debug)]
pub struct SnapshotFile {
    /// The path relative to `.git/objects`.
    pub path: BString,
    /// The length in bytes.
    pub size: u64,
    /// Where it lies; `None` for an empty file that exists only in images.
    place: Option<PathBuf>,
    /// Opened when it is first read, and kept.
    file: OnceLock<File>,
}

impl SnapshotFile {
    pub(super) fn new(path: BString, size: u64, place: PathBuf) -> Self {
        Self {
            path,
            size,
            place: Some(place),
            file: OnceLock::new(),
        }
    }

    pub(super) fn empty(path: BString) -> Self {
        Self {
            path,
            size: 0,
            place: None,
            file: OnceLock::new(),
        }
    }

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// Fails with [`Kind::Invalid`] when the file ends before the buffer does,
    /// with [`Kind::Corrupt`] when it is shorter than it was, with
    /// [`Kind::Io`] when the disk fails.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.check_range(offset, buffer.len())?;
        let Some(file) = self.open()? else {
            return Ok(());
        };
        file.read_exact_at(buffer, offset)
            .map_err(|error| self.failed(offset, error))
    }

    /// The same, if the page cache has all of it; `false` says that a disk
    /// would have to be waited for, and that `buffer` holds nothing of use.
    pub fn read_ready(&self, offset: u64, buffer: &mut [u8]) -> Result<bool> {
        self.check_range(offset, buffer.len())?;
        if buffer.is_empty() {
            return Ok(true);
        }
        let Some(file) = self.file.get() else {
            return Ok(false);
        };
        let (mut at, mut rest) = (offset, buffer);
        while !rest.is_empty() {
            let length = {
                let mut pieces = [IoSliceMut::new(rest)];
                match preadv2(file, &mut pieces, at, ReadWriteFlags::NOWAIT) {
                    Ok(0) => return Err(self.failed(at, io::ErrorKind::UnexpectedEof.into())),
                    Ok(length) => length,
                    Err(Errno::INTR) => continue,
                    // Not in memory, or a kernel or file system that cannot say.
                    Err(_) => return Ok(false),
                }
            };
            at = at.saturating_add(to_u64(length));
            rest = rest
                .split_at_mut_checked(length)
                .map_or(&mut [], |(_, rest)| rest);
        }
        Ok(true)
    }

    /// Opens the file if that has not been done; `None` when it has no bytes.
    pub(super) fn open(&self) -> Result<Option<&File>> {
        let Some(place) = &self.place else {
            return Ok(None);
        };
        if let Some(file) = self.file.get() {
            return Ok(Some(file));
        }
        let opened = File::open(place).map_err(|error| Error::io("open", place, error))?;
        Ok(Some(self.file.get_or_init(|| opened)))
    }

    fn check_range(&self, offset: u64, length: usize) -> Result<()> {
        if offset
            .checked_add(to_u64(length))
            .is_some_and(|end| end <= self.size)
        {
            return Ok(());
        }
        let (path, size) = (&self.path, self.size);
        let told = format!("{length} bytes at offset {offset} lie outside {path} of {size} bytes");
        Err(Error::new(Kind::Invalid, told))
    }

    fn failed(&self, offset: u64, error: io::Error) -> Error {
        let kind = match error.kind() {
            io::ErrorKind::UnexpectedEof => Kind::Corrupt,
            _ => Kind::Io,
        };
        let told = format!("cannot read {} at offset {offset}: {error}", self.path);
        Error::with_source(kind, told, error)
    }
}
