//! What has been read before, bounded by bytes.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use gix::ObjectId;

use super::{
    Blob, Listing,
    byte_lru::ByteLru,
    spool::Spool,
    store::{DeltaBases, Scratch},
    sync::lock,
    width::{to_u64, to_usize},
};

/// A larger blob is spooled to a file, not held in memory.
const HELD_LIMIT: u64 = 32 << 20;

/// How many bytes of spooled blobs are kept unless it is said otherwise.
const SPOOL_LIMIT: u64 = 4 << 30;

/// How many decoders wait to be used again, and with how large a buffer.
const SPARE_SCRATCHES: usize = 16;
const SPARE_BUFFER: usize = 1 << 20;

/// What an entry of a map costs beside its value.
const ENTRY_BYTES: usize = 128;

/// Blobs, listings and delta bases of all repositories, bounded by bytes.
///
/// A blob is known by its id alone, so repositories share it. A listing is
/// not: its sizes come from headers that nobody has verified, and one
/// repository's damage must not show in another's images.
#[derive(Debug)]
pub struct Cache {
    objects: Mutex<ByteLru<Key, Object>>,
    bases: DeltaBases,
    scratches: Mutex<Vec<Scratch>>,
    spool: Spool,
    held_limit: u64,
    inflated: AtomicU64,
}

/// A blob of any repository, or a tree of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Blob(ObjectId),
    Listing(Domain, ObjectId),
}

/// Tells repositories apart: a hash of where one is.
pub(super) type Domain = u64;

#[derive(Clone, Debug)]
enum Object {
    Blob(Blob),
    Listing(Arc<Listing>),
}

impl Cache {
    /// A cache that holds up to `bytes` bytes of memory and spools blobs that
    /// are too large for that into unlinked files in `spool_dir`, up to 4 GiB
    /// of them.
    pub fn new(bytes: usize, spool_dir: &Path) -> Arc<Self> {
        Self::with_spool(bytes, spool_dir, SPOOL_LIMIT)
    }

    /// The same with another bound for the spooled bytes. A blob larger than
    /// that cannot be read.
    pub fn with_spool(bytes: usize, spool_dir: &Path, spool_bytes: u64) -> Arc<Self> {
        let bytes = to_u64(bytes);
        // Every fourth byte for delta bases: what lies side by side in a tree
        // is often based on one another.
        let bases = bytes.checked_div(4).unwrap_or(0);
        Arc::new(Self {
            objects: Mutex::new(ByteLru::new(bytes.saturating_sub(bases))),
            bases: DeltaBases::new(bases),
            scratches: Mutex::default(),
            spool: Spool::new(spool_dir, spool_bytes),
            held_limit: bases.min(HELD_LIMIT),
            inflated: AtomicU64::new(0),
        })
    }

    /// The bytes of memory it holds now.
    pub fn used(&self) -> usize {
        let objects = lock(&self.objects).used();
        to_usize(objects.saturating_add(self.bases.used()))
    }

    /// Bytes of blobs that were inflated since the start: what the cache did
    /// not have.
    pub fn inflated(&self) -> u64 {
        self.inflated.load(Ordering::Relaxed)
    }

    pub(super) fn count_inflated(&self, blob: &Blob) {
        self.inflated.fetch_add(blob.len(), Ordering::Relaxed);
    }

    /// Blobs above this are spooled.
    pub(super) fn held_limit(&self) -> u64 {
        self.held_limit
    }

    pub(super) fn spool(&self) -> &Spool {
        &self.spool
    }

    pub(super) fn blob(&self, id: &ObjectId) -> Option<Blob> {
        match lock(&self.objects).get(&Key::Blob(*id))? {
            Object::Blob(blob) => Some(blob.clone()),
            Object::Listing(_) => None,
        }
    }

    pub(super) fn keep_blob(&self, id: ObjectId, blob: &Blob) {
        let bytes = blob.len().saturating_add(to_u64(ENTRY_BYTES));
        lock(&self.objects).put(Key::Blob(id), Object::Blob(blob.clone()), bytes);
    }

    pub(super) fn listing(&self, domain: Domain, id: ObjectId) -> Option<Arc<Listing>> {
        match lock(&self.objects).get(&Key::Listing(domain, id))? {
            Object::Listing(listing) => Some(Arc::clone(listing)),
            Object::Blob(_) => None,
        }
    }

    pub(super) fn keep_listing(&self, domain: Domain, id: ObjectId, listing: &Arc<Listing>) {
        let bytes = to_u64(listing.heap_bytes().saturating_add(ENTRY_BYTES));
        let listing = Object::Listing(Arc::clone(listing));
        lock(&self.objects).put(Key::Listing(domain, id), listing, bytes);
    }

    /// Whether so many bytes more would push nothing out.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        let objects = lock(&self.objects);
        objects.used().saturating_add(bytes) <= objects.limit()
    }

    /// Lends a decoder to `work`.
    pub(super) fn with_scratch<T>(&self, work: impl FnOnce(&mut Scratch) -> T) -> T {
        let spare = lock(&self.scratches).pop();
        let mut scratch = spare.unwrap_or_default();
        let result = work(&mut scratch);
        let mut spares = lock(&self.scratches);
        if spares.len() < SPARE_SCRATCHES && scratch.heap_bytes() <= SPARE_BUFFER {
            spares.push(scratch);
        }
        result
    }

    /// Objects that deltas may be based on.
    pub(super) fn bases(&self) -> &DeltaBases {
        &self.bases
    }
}
