//! The bytes of a blob, in memory or spooled to a file.

use std::{fs::File, os::unix::fs::FileExt, sync::Arc};

use crate::error::{Error, Kind, Result};

/// A blob whose length and object id have been verified.
#[derive(Clone, Debug)]
pub enum Blob {
    /// In memory.
    Held(Arc<[u8]>),
    /// In an unlinked temporary file, for blobs too large to hold.
    Spooled(Arc<Spooled>),
}

/// A spooled blob: a temporary file without a name.
#[derive(Debug)]
pub struct Spooled {
    pub(super) file: File,
    pub(super) size: u64,
}

impl Blob {
    /// The length of the blob in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Self::Held(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Self::Spooled(spooled) => spooled.size,
        }
    }

    /// Whether it has no byte at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All its bytes, in memory.
    ///
    /// Fails with [`Kind::Io`] when the spool cannot be read.
    pub fn to_vec(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.len()).unwrap_or(usize::MAX)];
        self.read_at(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// Fails with [`Kind::Invalid`] when the blob ends before the buffer does,
    /// with [`Kind::Io`] when the spool cannot be read.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        match self {
            Self::Held(bytes) => {
                let part = usize::try_from(offset)
                    .ok()
                    .and_then(|start| bytes.get(start..start.checked_add(buffer.len())?));
                buffer.copy_from_slice(part.ok_or_else(|| self.past_end(offset, buffer.len()))?);
                Ok(())
            }
            Self::Spooled(spooled) => {
                let length = u64::try_from(buffer.len()).unwrap_or(u64::MAX);
                if offset
                    .checked_add(length)
                    .is_none_or(|end| end > spooled.size)
                {
                    return Err(self.past_end(offset, buffer.len()));
                }
                spooled.file.read_exact_at(buffer, offset).map_err(|error| {
                    let told = format!("cannot read the spool at offset {offset}: {error}");
                    Error::with_source(Kind::Io, told, error)
                })
            }
        }
    }

    fn past_end(&self, offset: u64, length: usize) -> Error {
        let size = self.len();
        let told = format!("{length} bytes at offset {offset} lie outside a blob of {size} bytes");
        Error::new(Kind::Invalid, told)
    }
}
