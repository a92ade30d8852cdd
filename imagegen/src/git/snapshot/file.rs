//! The files of a snapshot.

#![warn(clippy::arithmetic_side_effects)]

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
    numbers::to_u64,
};

/// A file of `.git/objects`.
#[derive(Debug)]
pub(crate) struct SnapshotFile {
    /// The path relative to `.git/objects`.
    pub(crate) path: BString,
    /// The length in bytes.
    pub(crate) size: u64,
    /// Its path on disk; `None` for an empty file that exists only in images.
    source: Option<PathBuf>,
    /// Opened when it is first read.
    file: OnceLock<File>,
}

impl SnapshotFile {
    pub(super) fn new(path: BString, size: u64, source: PathBuf) -> Self {
        Self {
            path,
            size,
            source: Some(source),
            file: OnceLock::new(),
        }
    }

    pub(super) fn empty(path: BString) -> Self {
        Self {
            path,
            size: 0,
            source: None,
            file: OnceLock::new(),
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
        let Some(file) = self.open()? else {
            return Ok(());
        };
        file.read_exact_at(buffer, offset)
            .map_err(|error| self.failed(offset, error))
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

    /// Opens the file unless it is open; `None` if it exists only in images.
    pub(super) fn open(&self) -> Result<Option<&File>> {
        let Some(source) = &self.source else {
            return Ok(None);
        };
        if let Some(file) = self.file.get() {
            return Ok(Some(file));
        }
        let opened = File::open(source).map_err(|error| Error::io("open", source, error))?;
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
