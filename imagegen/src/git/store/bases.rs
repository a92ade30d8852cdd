//! Decoded objects that deltas may be based on.

use std::sync::{Arc, Mutex};

use gix::objs;

use crate::git::{byte_lru::ByteLru, sync::lock, width::to_u64};

/// What an entry costs beside its bytes.
const ENTRY_BYTES: u64 = 128;

/// A decoded object.
#[derive(Clone, Debug)]
pub(in crate::git) struct Decoded {
    pub(in crate::git) kind: objs::Kind,
    pub(in crate::git) bytes: Arc<[u8]>,
}

/// Objects decoded on the way to others, by pack and offset.
///
/// What lies side by side in a tree often shares its bases, all the way down
/// the chain: without this, twice as much is inflated.
#[derive(Debug)]
pub(in crate::git) struct DeltaBases {
    kept: Mutex<ByteLru<(u32, u64), Decoded>>,
    /// One object may not push out many, in bytes.
    largest: u64,
}

impl DeltaBases {
    /// Bases of up to `bytes` bytes together.
    pub(in crate::git) fn new(bytes: u64) -> Self {
        let largest = bytes.checked_div(8).unwrap_or(0);
        let kept = Mutex::new(ByteLru::new(bytes));
        Self { kept, largest }
    }

    /// The bytes it holds now.
    pub(in crate::git) fn used(&self) -> u64 {
        lock(&self.kept).used()
    }

    pub(super) fn get(&self, pack: u32, offset: u64) -> Option<Decoded> {
        lock(&self.kept).get(&(pack, offset)).cloned()
    }

    pub(super) fn put(&self, pack: u32, offset: u64, object: &Decoded) {
        let bytes = to_u64(object.bytes.len()).saturating_add(ENTRY_BYTES);
        if bytes <= self.largest {
            lock(&self.kept).put((pack, offset), object.clone(), bytes);
        }
    }
}
