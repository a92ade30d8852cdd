//! Buffers for decoding objects, reused from one object to the next.

use std::fmt;

use gix::zlib;

use super::bases::DeltaBases;

/// A decompressor and a buffer for a delta.
#[derive(Default)]
pub(in crate::git) struct Scratch {
    pub(in crate::git) inflate: zlib::Inflate,
    /// The inflated instructions of one delta.
    pub(super) delta: Vec<u8>,
}

impl Scratch {
    /// The capacity of the buffer in bytes; the decompressor is not counted.
    pub(in crate::git) fn heap_bytes(&self) -> usize {
        self.delta.capacity()
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.heap_bytes())
    }
}

/// What decoding needs.
pub(in crate::git) struct Decoder<'a> {
    pub(in crate::git) scratch: &'a mut Scratch,
    pub(in crate::git) bases: &'a DeltaBases,
    /// The largest object that is decoded, in bytes.
    pub(in crate::git) limit: u64,
}
