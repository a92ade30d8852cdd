//! The destination of an encoded index: a count of bytes, a hash, or the part
//! that somebody reads.

use std::mem;

use gix::{ObjectId, hash::Kind};

use crate::{
    git::object_hash::ObjectHash,
    numbers::{to_u64, to_usize},
};

/// A destination that is written from front to back.
pub(crate) trait Sink {
    /// Appends bytes.
    fn put(&mut self, bytes: &[u8]);
}

/// Counts bytes.
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
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// How many bytes are hashed at once: to hash small pieces takes twice as long.
const HASHED_AT_ONCE: usize = 64 << 10;

/// Hashes bytes.
#[derive(Debug)]
pub(crate) struct Hasher {
    hash: ObjectHash,
    pending: Vec<u8>,
}

impl Hasher {
    /// The hash that an index of this object format ends with.
    pub(crate) fn new(kind: Kind) -> Self {
        let hash = ObjectHash::of_file(kind);
        Self {
            hash: hash.expect("objects of no other format were read"),
            pending: Vec::with_capacity(HASHED_AT_ONCE),
        }
    }

    /// The hash of all bytes.
    pub(crate) fn finish(mut self) -> ObjectId {
        self.hash.update(&self.pending);
        self.hash.finish()
    }
}

impl Sink for Hasher {
    fn put(&mut self, bytes: &[u8]) {
        if self.pending.len() + bytes.len() > HASHED_AT_ONCE {
            self.hash.update(&self.pending);
            self.pending.clear();
        }
        self.pending.extend_from_slice(bytes);
    }
}

/// Stores those bytes that lie in a window of the file; positions are in bytes
/// from its start.
#[derive(Debug)]
pub(crate) struct Window<'a> {
    /// Where the next byte belongs.
    position: u64,
    /// Where the next byte of the window belongs that is not stored yet.
    start: u64,
    /// What is not stored yet.
    rest: &'a mut [u8],
}

impl<'a> Window<'a> {
    /// The window of the file from `start` on; what is put next belongs at
    /// `position`. What of the window lies before that is left alone.
    pub(crate) fn new(position: u64, start: u64, window: &'a mut [u8]) -> Self {
        let skipped = position.saturating_sub(start);
        let before = to_usize(skipped.min(to_u64(window.len())));
        Self {
            position,
            start: start.max(position),
            rest: window.split_at_mut(before).1,
        }
    }

    /// Whether all of the window is stored.
    pub(crate) fn is_past(&self) -> bool {
        self.rest.is_empty()
    }
}

impl Sink for Window<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let end = self.position + to_u64(bytes.len());
        let before = self.start.saturating_sub(self.position);
        self.position = end;
        if end <= self.start || self.rest.is_empty() {
            return;
        }
        let (_, bytes) = bytes.split_at(to_usize(before));
        let length = bytes.len().min(self.rest.len());
        let (part, rest) = mem::take(&mut self.rest).split_at_mut(length);
        part.copy_from_slice(bytes.split_at(length).0);
        self.rest = rest;
        self.start += to_u64(length);
    }
}
