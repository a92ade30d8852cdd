//! The length of a converted file, without the file.

use crate::{
    error::Result,
    git::Blob,
    numbers::{to_u64, to_usize},
};

/// What a conversion makes of one blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measured {
    /// The length of the result in bytes.
    pub size: u64,
    /// Whether the result differs from the blob.
    pub changed: bool,
    /// Whether the file is encoded as its attributes say, if they do. If not,
    /// the result is that of the conversion without its encoding, as in git,
    /// which prints an error and checks the file out unencoded.
    pub encoded: bool,
}

/// Compares a result with the blob it is made of.
#[derive(Debug, Default)]
pub(super) struct Compared {
    size: u64,
    changed: bool,
    buffer: Vec<u8>,
}

impl Compared {
    pub(super) fn push(&mut self, blob: &Blob, piece: &[u8]) -> Result<()> {
        let (start, end) = (self.size, self.size + to_u64(piece.len()));
        self.size = end;
        if self.changed || end > blob.len() {
            self.changed = true;
        } else if let Blob::InMemory(bytes) = blob {
            let (_, rest) = bytes.split_at(to_usize(start));
            self.changed = !rest.starts_with(piece);
        } else {
            self.buffer.resize(piece.len(), 0);
            blob.read_at(start, &mut self.buffer)?;
            self.changed = self.buffer != piece;
        }
        Ok(())
    }

    pub(super) fn finish(self, blob: &Blob, encoded: bool) -> Measured {
        Measured {
            size: self.size,
            changed: self.changed || self.size != blob.len(),
            encoded,
        }
    }
}
