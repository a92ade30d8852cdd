//! The content of a blob, in memory or in a temporary file.

use std::{fs::File, os::unix::fs::FileExt, sync::Arc};

use crate::{
    error::{Error, Kind, Result},
    numbers::{to_u64, to_usize},
};

/// The content of a blob whose length and object id were verified, or content
/// derived from one.
#[derive(Clone, Debug)]
pub enum Blob {
    /// In memory.
    InMemory(Arc<[u8]>),
    /// In an unlinked temporary file, for blobs too large for memory.
    Spooled(Arc<Spooled>),
}

/// The temporary file of a spooled blob, which has no name.
#[derive(Debug)]
pub struct Spooled {
    pub(super) file: File,
    pub(super) size: u64,
}

impl Blob {
    /// The length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::InMemory(bytes) => to_u64(bytes.len()),
            Self::Spooled(spooled) => spooled.size,
        }
    }

    /// Whether the length is 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A copy of the content in memory.
    ///
    /// # Errors
    ///
    /// [`Kind::Io`] if the temporary file cannot be read.
    pub fn to_vec(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; to_usize(self.len())];
        self.read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Fills `buffer` with the content from byte `offset` on.
    ///
    /// # Errors
    ///
    /// [`Kind::Invalid`] if the range does not lie in the blob, [`Kind::Io`] if
    /// the temporary file cannot be read.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let end = offset.checked_add(to_u64(buffer.len()));
        if end.is_none_or(|end| end > self.len()) {
            let (length, size) = (buffer.len(), self.len());
            let message =
                format!("{length} bytes at offset {offset} are not in a blob of {size} bytes");
            return Err(Error::new(Kind::Invalid, message));
        }
        match self {
            Self::InMemory(bytes) => {
                let (_, from) = bytes.split_at(to_usize(offset));
                buffer.copy_from_slice(from.split_at(buffer.len()).0);
                Ok(())
            }
            Self::Spooled(spooled) => spooled.file.read_exact_at(buffer, offset).map_err(|error| {
                let message = format!("cannot read a spooled blob at offset {offset}: {error}");
                Error::with_source(Kind::Io, message, error)
            }),
        }
    }
}
