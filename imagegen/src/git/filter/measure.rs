//! The length of a converted file, without the file.

use gix::oid;

use super::{Conversion, Failure};
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

impl Conversion {
    /// Measures the conversion of the blob `id`.
    ///
    /// # Errors
    ///
    /// As [`Conversion::convert`], except that a text that cannot be encoded is
    /// no error.
    pub fn measure(&self, id: &oid, blob: &Blob) -> Result<Measured> {
        let mut compared = Compared::default();
        match self.run(id, blob, &mut |piece| compared.push(blob, piece)) {
            Ok(()) => Ok(compared.finish(blob, true)),
            Err(Failure::Error(error)) => Err(error),
            Err(Failure::Refused) => {
                let mut compared = Compared::default();
                let plain = self.without_encoding();
                plain.convert(id, blob, &mut |piece| compared.push(blob, piece))?;
                Ok(compared.finish(blob, false))
            }
        }
    }
}

/// Compares a result with the blob it is made of.
#[derive(Default)]
struct Compared {
    size: u64,
    changed: bool,
    buffer: Vec<u8>,
}

impl Compared {
    fn push(&mut self, blob: &Blob, piece: &[u8]) -> Result<()> {
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

    fn finish(self, blob: &Blob, encoded: bool) -> Measured {
        Measured {
            size: self.size,
            changed: self.changed || self.size != blob.len(),
            encoded,
        }
    }
}
