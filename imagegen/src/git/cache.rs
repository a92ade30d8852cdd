//! The cache of blobs, listings and delta bases.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use gix::ObjectId;

use super::{
    Blob, Listing,
    byte_lru::ByteLru,
    counted::Counted,
    measures::Measures,
    open_files::{OpenFiles, Shares},
    spool::Spool,
    store::{DeltaBases, MappedPacks, Scratch},
    sync::lock,
};
use crate::{
    error::Error,
    numbers::{to_u64, to_usize},
};

/// The largest blob in bytes that is held in memory; a larger one is spooled to
/// a temporary file.
const MAX_IN_MEMORY: u64 = 32 << 20;

/// The default bound for all spooled blobs together, in bytes.
pub const SPOOL_LIMIT: u64 = 4 << 30;

/// The part of the memory that is for the lengths of converted files: one in so
/// many bytes.
const MEASURES: u64 = 16;

/// The most decoders that are retained, and the largest buffer of one in bytes.
const SPARE_SCRATCHES: usize = 16;
const SPARE_BUFFER: usize = 1 << 20;

/// The default bound for the `.gitattributes` in force for a file, in bytes. Of
/// each byte, some 20 are held while an image is planned.
const ATTRIBUTE_LIMIT: u64 = 1 << 20;

/// The memory that an entry takes besides its value, in bytes.
const ENTRY_BYTES: u64 = 128;

/// Blobs, tree listings and delta bases of any number of repositories, bounded
/// by bytes; and their open files, bounded by a share of the limit of open files
/// that the process has when the cache is made (`RLIMIT_NOFILE`).
///
/// Repositories share blobs, which are verified against their id. They do not
/// share listings: the sizes in those come from object headers, which are not
/// verified, and damage to one repository must not affect images of another.
#[derive(Debug)]
pub struct Cache {
    objects: Mutex<ByteLru<Key, Object>>,
    bases: DeltaBases,
    scratches: Mutex<Vec<Scratch>>,
    spool: Spool,
    files: Arc<OpenFiles>,
    packs: Arc<MappedPacks>,
    measures: Measures,
    max_in_memory: u64,
    inflated: AtomicU64,
    attribute_limit: AtomicU64,
    listings: Listings,
}

/// The bytes of listings: of all that live, and of those that are cached.
#[derive(Debug, Default)]
struct Listings {
    alive: Arc<AtomicU64>,
    cached: Arc<AtomicU64>,
    /// Held while a large commit or tree is decoded.
    large: Mutex<()>,
}

/// A blob of any repository, or a tree of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Blob(ObjectId),
    Listing(Domain, ObjectId),
}

/// Identifies a repository: a hash of its path.
pub(super) type Domain = u64;

#[derive(Clone, Debug)]
enum Object {
    Blob(Blob),
    Listing {
        listing: Arc<Listing>,
        _counted: Counted,
    },
}

impl Cache {
    /// A cache of up to `bytes` bytes of memory. Blobs that are too large for
    /// memory are spooled to unlinked files in the directory `spool_dir`, up to
    /// 4 GiB of them together.
    pub fn new(bytes: usize, spool_dir: &Path) -> Arc<Self> {
        Self::with_spool(bytes, spool_dir, SPOOL_LIMIT)
    }

    /// Like [`Cache::new`], with up to `spool_bytes` bytes of spooled blobs
    /// together. A blob larger than that cannot be read
    /// ([`Kind::Unsupported`](crate::Kind::Unsupported)).
    pub fn with_spool(bytes: usize, spool_dir: &Path, spool_bytes: u64) -> Arc<Self> {
        Self::with_shares(bytes, spool_dir, spool_bytes, Shares::of_process())
    }

    /// Like [`Cache::with_spool`], with shares of the open files.
    pub(super) fn with_shares(
        bytes: usize,
        spool_dir: &Path,
        spool_bytes: u64,
        shares: Shares,
    ) -> Arc<Self> {
        let measures = Measures::new(to_u64(bytes) / MEASURES);
        let spool = Spool::new(spool_dir, spool_bytes, shares.spooled);
        Arc::new(Self::of(to_u64(bytes), spool, measures, shares))
    }

    /// Like [`Cache::with_spool`], and remembers the lengths of the files that checkout
    /// converts in the file `measures`, which need not exist. What is wrong with
    /// the file, if anything, is also returned: it is then written anew.
    pub fn with_measures(
        bytes: usize,
        spool_dir: &Path,
        spool_bytes: u64,
        measures: &Path,
    ) -> (Arc<Self>, Option<Error>) {
        let (measures, ignored) = Measures::in_file(to_u64(bytes) / MEASURES, measures);
        let shares = Shares::of_process();
        let spool = Spool::new(spool_dir, spool_bytes, shares.spooled);
        let cache = Self::of(to_u64(bytes), spool, measures, shares);
        (Arc::new(cache), ignored)
    }

    fn of(bytes: u64, spool: Spool, measures: Measures, shares: Shares) -> Self {
        // A quarter for delta bases, since blobs of one tree often share them.
        let bases = bytes / 4;
        Self {
            objects: Mutex::new(ByteLru::new(bytes - bases - bytes / MEASURES)),
            bases: DeltaBases::new(bases),
            scratches: Mutex::default(),
            spool,
            files: Arc::new(OpenFiles::new(shares)),
            packs: Arc::new(MappedPacks::new(shares.packs)),
            measures,
            max_in_memory: bases.min(MAX_IN_MEMORY),
            inflated: AtomicU64::new(0),
            attribute_limit: AtomicU64::new(ATTRIBUTE_LIMIT),
            listings: Listings::default(),
        }
    }

    /// Sets how many bytes of `.gitattributes` may be in force for a file of an
    /// image that is planned from now on; 1 MiB by default.
    pub fn set_attribute_limit(&self, bytes: u64) {
        self.attribute_limit.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn attribute_limit(&self) -> u64 {
        self.attribute_limit.load(Ordering::Relaxed)
    }

    /// The memory in use, in bytes.
    pub fn used(&self) -> usize {
        let objects = lock(&self.objects).used();
        to_usize(objects + self.bases.used())
    }

    /// The memory that may be in use, in bytes.
    pub fn limit(&self) -> usize {
        let objects = lock(&self.objects).limit();
        to_usize(objects + self.bases.limit())
    }

    /// What spooled blobs count on disk, and may count together, in bytes.
    pub fn spooled(&self) -> (u64, u64) {
        self.spool.in_use()
    }

    /// The length of all blobs that were inflated so far because they were not
    /// cached, in bytes.
    pub fn inflated(&self) -> u64 {
        self.inflated.load(Ordering::Relaxed)
    }

    pub(super) fn count_inflated(&self, blob: &Blob) {
        self.inflated.fetch_add(blob.len(), Ordering::Relaxed);
    }

    /// The largest blob that is held in memory, in bytes.
    pub(super) fn max_in_memory(&self) -> u64 {
        self.max_in_memory
    }

    pub(super) fn spool(&self) -> &Spool {
        &self.spool
    }

    /// The packs of all repositories that are mapped.
    pub(super) fn packs(&self) -> &Arc<MappedPacks> {
        &self.packs
    }

    /// The open files of all snapshots.
    pub(super) fn files(&self) -> &Arc<OpenFiles> {
        &self.files
    }

    pub(super) fn measures(&self) -> &Measures {
        &self.measures
    }

    pub(super) fn blob(&self, id: &ObjectId) -> Option<Blob> {
        match lock(&self.objects).get(&Key::Blob(*id))? {
            Object::Blob(blob) => Some(blob.clone()),
            Object::Listing { .. } => None,
        }
    }

    pub(super) fn put_blob(&self, id: ObjectId, blob: &Blob) {
        let bytes = blob.len() + ENTRY_BYTES;
        lock(&self.objects).put(Key::Blob(id), Object::Blob(blob.clone()), bytes);
    }

    pub(super) fn listing(&self, domain: Domain, id: ObjectId) -> Option<Arc<Listing>> {
        match lock(&self.objects).get(&Key::Listing(domain, id))? {
            Object::Listing { listing, .. } => Some(Arc::clone(listing)),
            Object::Blob(_) => None,
        }
    }

    pub(super) fn put_listing(&self, domain: Domain, id: ObjectId, listing: &Arc<Listing>) {
        let bytes = to_u64(size_of::<Listing>() + listing.heap_bytes());
        let counted = Counted::new(&self.listings.cached, bytes);
        let listing = Object::Listing {
            listing: Arc::clone(listing),
            _counted: counted,
        };
        lock(&self.objects).put(Key::Listing(domain, id), listing, bytes + ENTRY_BYTES);
    }

    /// The bytes of listings that images hold, and the cache does not.
    pub fn pinned_listings(&self) -> u64 {
        let Listings { alive, cached, .. } = &self.listings;
        // Some are made and dropped meanwhile.
        let cached = cached.load(Ordering::Relaxed);
        alive.load(Ordering::Relaxed).saturating_sub(cached)
    }

    /// The bytes of all listings.
    pub(super) fn listings(&self) -> &Arc<AtomicU64> {
        &self.listings.alive
    }

    /// Waits until nobody else decodes a large commit or tree.
    pub(super) fn large_object(&self) -> MutexGuard<'_, ()> {
        lock(&self.listings.large)
    }

    /// Whether `bytes` more fit without evicting anything.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        lock(&self.objects).has_room(bytes)
    }

    /// Runs `work` with a decoder.
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

    /// The cache of delta bases.
    pub(super) fn bases(&self) -> &DeltaBases {
        &self.bases
    }
}
