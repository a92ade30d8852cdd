//! Verifying content against object ids.
//!
//! These are the plain, hardware-accelerated hashes without collision
//! detection: they find damage, not attacks on SHA-1.

use std::io;

use gix::{ObjectId, hash, objs, oid};
use sha1::{Digest, Sha1};
use sha2::Sha256;

use crate::{
    error::{Error, Kind, Result},
    numbers::to_u64,
};

/// The object id of content, or the checksum of a file, hashed piece by piece.
#[derive(Clone, Debug)]
pub(super) enum ObjectHash {
    Sha1(Sha1),
    Sha256(Sha256),
}

impl ObjectHash {
    /// Starts the id of an object of `size` bytes.
    ///
    /// # Errors
    ///
    /// [`Kind::Unsupported`] for object formats other than SHA-1 and SHA-256.
    pub(super) fn new(format: hash::Kind, kind: objs::Kind, size: u64) -> Result<Self> {
        let mut hash = Self::of_file(format)?;
        hash.update(kind.as_bytes());
        hash.update(format!(" {size}\0").as_bytes());
        Ok(hash)
    }

    /// Starts the checksum that a file of git ends with.
    ///
    /// # Errors
    ///
    /// As [`ObjectHash::new`].
    pub(super) fn of_file(format: hash::Kind) -> Result<Self> {
        match format {
            hash::Kind::Sha1 => Ok(Self::Sha1(Sha1::new())),
            hash::Kind::Sha256 => Ok(Self::Sha256(Sha256::new())),
            other => Err(Error::new(
                Kind::Unsupported,
                format!("object format {other}"),
            )),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(hash) => hash.update(bytes),
            Self::Sha256(hash) => hash.update(bytes),
        }
    }

    pub(super) fn finish(self) -> ObjectId {
        match self {
            Self::Sha1(hash) => ObjectId::Sha1(hash.finalize().into()),
            Self::Sha256(hash) => ObjectId::Sha256(hash.finalize().into()),
        }
    }

    /// Finishes, and compares the result with `id`.
    ///
    /// # Errors
    ///
    /// [`Kind::Corrupt`] if they differ.
    pub(super) fn verify(self, id: &oid) -> Result<()> {
        let found = self.finish();
        if *found == *id {
            return Ok(());
        }
        let message = format!("object {id} is damaged: its content hashes to {found}");
        Err(Error::new(Kind::Corrupt, message))
    }
}

/// Checks that `bytes` are the content of the object `id`.
///
/// # Errors
///
/// [`Kind::Corrupt`] if they are not.
pub(super) fn verify(kind: objs::Kind, bytes: &[u8], id: &oid) -> Result<()> {
    let mut hash = ObjectHash::new(id.kind(), kind, to_u64(bytes.len()))?;
    hash.update(bytes);
    hash.verify(id)
}

/// The name of a kind of object.
pub(super) fn name(kind: objs::Kind) -> &'static str {
    match kind {
        objs::Kind::Tree => "tree",
        objs::Kind::Blob => "blob",
        objs::Kind::Commit => "commit",
        objs::Kind::Tag => "tag",
    }
}

/// A writer that hashes what is written to `inner`.
#[derive(Debug)]
pub(super) struct Hashing<W> {
    pub(super) inner: W,
    pub(super) hash: ObjectHash,
}

impl<W: io::Write> io::Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(bytes.split_at(written).0);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
