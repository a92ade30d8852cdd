//! A cache of decoded objects that deltas are based on.

use std::sync::{Arc, Mutex};

use gix::objs;

use crate::{
    git::{byte_lru::ByteLru, sync::lock},
    numbers::to_u64,
};

/// The memory that an entry takes besides its content, in bytes.
const ENTRY_BYTES: u64 = 128;

/// A decoded object.
#[derive(Clone, Debug)]
pub(in crate::git) struct Decoded {
    pub(in crate::git) kind: objs::Kind,
    pub(in crate::git) bytes: Arc<[u8]>,
}

/// The objects decoded while other objects were, by pack and offset.
///
/// Blobs of one tree often share their bases, all the way down the chain;
/// without this cache twice as much is inflated.
#[derive(Debug)]
pub(in crate::git) struct DeltaBases {
    cached: Mutex<ByteLru<(u32, u64), Decoded>>,
    /// The largest object that is cached, in bytes, so that one does not evict
    /// many.
    largest: u64,
}

impl DeltaBases {
    /// An empty cache of up to `bytes` bytes.
    pub(in crate::git) fn new(bytes: u64) -> Self {
        Self {
            cached: Mutex::new(ByteLru::new(bytes)),
            largest: bytes / 8,
        }
    }

    /// The bytes that may be in use.
    pub(in crate::git) fn limit(&self) -> u64 {
        lock(&self.cached).limit()
    }

    /// The bytes in use.
    pub(in crate::git) fn used(&self) -> u64 {
        lock(&self.cached).used()
    }

    pub(super) fn get(&self, pack: u32, offset: u64) -> Option<Decoded> {
        lock(&self.cached).get(&(pack, offset)).cloned()
    }

    pub(super) fn put(&self, pack: u32, offset: u64, object: &Decoded) {
        let bytes = [to_u64(object.bytes.len()), ENTRY_BYTES].iter().sum();
        if bytes <= self.largest {
            lock(&self.cached).put((pack, offset), object.clone(), bytes);
        }
    }
}
