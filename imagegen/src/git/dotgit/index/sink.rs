//! The destination of an encoded index: memory, or a mere count of bytes.

use gix::hash::Kind;
use sha1::{Digest, Sha1};
use sha2::Sha256;

use crate::numbers::to_u64;

/// A destination that is written from front to back.
pub(crate) trait Sink {
    /// Appends bytes.
    fn put(&mut self, bytes: &[u8]);

    /// Appends the hash of everything before.
    fn seal(&mut self, kind: Kind);
}

/// Counts bytes; it neither stores nor hashes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counter(u64);

impl Counter {
    /// The number of bytes so far.
    pub(crate) const fn bytes(self) -> u64 {
        self.0
    }
}

impl Sink for Counter {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += to_u64(bytes.len());
    }

    fn seal(&mut self, kind: Kind) {
        self.0 += to_u64(kind.len_in_bytes());
    }
}

/// The vector must be empty at first: the hash covers all of it.
impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    /// One pass at the end is twice as fast as hashing small pieces.
    fn seal(&mut self, kind: Kind) {
        match kind {
            Kind::Sha256 => self.extend_from_slice(&Sha256::digest(&*self)),
            _ => self.extend_from_slice(&Sha1::digest(&*self)),
        }
    }
}
