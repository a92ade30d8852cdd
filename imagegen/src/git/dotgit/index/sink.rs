//! Where an index goes: into memory, or only into a count.

use gix::hash::Kind;
use sha1::{Digest, Sha1};
use sha2::Sha256;

/// Takes an index file from front to back.
pub trait Sink {
    /// The next bytes.
    fn put(&mut self, bytes: &[u8]);

    /// Ends the file with the hash of everything before.
    fn seal(&mut self, kind: Kind);
}

/// How long a file would be; nothing is hashed, nothing kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter(u64);

impl Counter {
    /// The bytes counted so far.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    fn add(&mut self, bytes: usize) {
        self.0 = self
            .0
            .saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }
}

impl Sink for Counter {
    fn put(&mut self, bytes: &[u8]) {
        self.add(bytes.len());
    }

    fn seal(&mut self, kind: Kind) {
        self.add(kind.len_in_bytes());
    }
}

/// The vector becomes the whole file, so it must be empty to begin with.
impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    /// One pass at the end is twice as fast as hashing a few bytes at a time.
    fn seal(&mut self, kind: Kind) {
        match kind {
            Kind::Sha256 => self.extend_from_slice(&Sha256::digest(&*self)),
            _ => self.extend_from_slice(&Sha1::digest(&*self)),
        }
    }
}
