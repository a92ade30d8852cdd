//! Commits, listings and blobs of one object directory and its alternates.

use std::sync::Arc;

use gix::{
    ObjectId,
    bstr::{BStr, ByteSlice},
    hash, objs, oid,
};

use super::{
    Blob, Cache, Commit, EntryMode, Listing,
    cache::Domain,
    single_flight::SingleFlight,
    spool,
    store::{DECODE_LIMIT, Decoder, Directory, Location, Store},
    tree,
};
use crate::{
    error::{Error, Kind, Result},
    numbers::{to_u64, to_usize},
};

/// A larger commit or tree, in bytes, is decoded while no other one is: it takes
/// several times its length.
const LARGE: u64 = 4 << 20;

/// The objects of one object directory and its alternates.
///
/// May be read by any number of threads at once. They wait for one another only
/// if they read the same blob, or one too large for memory.
#[derive(Debug)]
pub struct Objects {
    store: Store,
    domain: Domain,
    cache: Arc<Cache>,
    single_flight: SingleFlight,
}

impl Objects {
    /// The objects in a directory of the repository `domain`, read through a
    /// shared cache.
    pub(super) fn open(directory: Directory<'_>, domain: Domain, cache: &Arc<Cache>) -> Self {
        let store = Store::open(directory, cache.packs());
        let (cache, single_flight) = (Arc::clone(cache), SingleFlight::default());
        Self {
            store,
            domain,
            cache,
            single_flight,
        }
    }

    /// Whether there is an object of any kind, of which nothing is read but where
    /// it is.
    ///
    /// # Errors
    ///
    /// [`Kind::Corrupt`] or [`Kind::Io`] if that cannot be known.
    pub(super) fn has(&self, id: &oid) -> Result<bool> {
        match self.store.read(id, None, |_| Ok(())) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == Kind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Calls `read` with where the copies of an object are, until it succeeds.
    ///
    /// # Errors
    ///
    /// As [`Objects::has`], and that there is none.
    pub(super) fn locate<T>(&self, id: &oid, read: impl FnMut(Location) -> Result<T>) -> Result<T> {
        self.store.read(id, None, read)
    }

    /// The hash function of their ids.
    pub(super) fn format(&self) -> hash::Kind {
        self.store.format()
    }

    pub(super) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The bytes of `.gitattributes` that may be in force for a file.
    pub(crate) fn attribute_limit(&self) -> u64 {
        self.cache.attribute_limit()
    }

    /// Reads a commit.
    ///
    /// # Errors
    ///
    /// [`Kind::NotFound`] if it does not exist, [`Kind::Corrupt`] if it is
    /// damaged or not a commit.
    pub fn commit(&self, id: ObjectId) -> Result<Commit> {
        self.decode(&id, objs::Kind::Commit, |bytes| Commit::parse(&id, bytes))
    }

    /// Reads a tree, with the sizes of its blobs. Sizes come from object
    /// headers; no blob is inflated.
    ///
    /// # Errors
    ///
    /// [`Kind::NotFound`] if the tree or one of its blobs does not exist,
    /// [`Kind::Corrupt`] if it is damaged, or has an entry that git refuses to
    /// check out. The message names the entry; the caller adds the path of the
    /// directory ([`Error::within`]).
    pub fn tree(&self, id: ObjectId) -> Result<Arc<Listing>> {
        // git has it built in, and does not always store it.
        if id.is_empty_tree() {
            return tree::parse(&id, b"", |blob| self.blob_size(blob)).map(Arc::new);
        }
        if let Some(listing) = self.cache.listing(self.domain, id) {
            return Ok(listing);
        }
        let listing = self.decode(&id, objs::Kind::Tree, |bytes| {
            self.cache.with_scratch(|scratch| {
                tree::parse(&id, bytes, |blob| {
                    self.store.blob_size(blob, &mut scratch.inflate)
                })
            })
        })?;
        let listing = Arc::new(listing.counted(self.cache.listings()));
        self.cache.put_listing(self.domain, id, &listing);
        Ok(listing)
    }

    /// Whether the cache has the tree.
    pub(super) fn has_listing(&self, id: ObjectId) -> bool {
        self.cache.listing(self.domain, id).is_some()
    }

    /// The id of the tree at `path` below the tree `root`; for an empty path,
    /// `root` itself.
    ///
    /// # Errors
    ///
    /// [`Kind::NotFound`] if there is no directory at that path.
    pub fn tree_at(&self, root: ObjectId, path: &BStr) -> Result<ObjectId> {
        let mut at = root;
        for name in path.split_str(b"/").filter(|name| !name.is_empty()) {
            let found = self.decode(&at, objs::Kind::Tree, |bytes| {
                let entry = tree::find(bytes, at.kind(), name);
                Ok(entry.map(|entry| (entry.mode, entry.id.to_owned())))
            })?;
            at = match found {
                Some((EntryMode::Directory, id)) => id,
                Some(_) => return Err(no_directory(path, "is not a directory")),
                None => return Err(no_directory(path, "does not exist")),
            };
        }
        Ok(at)
    }

    /// The blob, if it is cached in memory. Neither waits for a disk nor
    /// inflates anything.
    pub fn blob_cached(&self, id: &oid) -> Option<Blob> {
        self.cache.blob(&id.to_owned())
    }

    /// Reads a blob of `size` bytes, and verifies its length and object id. A
    /// blob that is read by several threads at once is inflated once. A large
    /// one is spooled to a temporary file, so memory does not grow with it.
    ///
    /// # Errors
    ///
    /// [`Kind::NotFound`] if it does not exist, [`Kind::Corrupt`] if it is
    /// damaged or of another length, [`Kind::Unsupported`] if it is larger than
    /// may be spooled. A failure is not cached.
    pub fn blob(&self, id: &oid, size: u64) -> Result<Blob> {
        let id = id.to_owned();
        let blob = match self.cached(&id) {
            Some(blob) => blob,
            None => self.single_flight.run(id, || match self.cached(&id) {
                Some(blob) => Ok(blob),
                None => self
                    .read_blob(id, size)
                    .inspect(|blob| self.cache.count_inflated(blob)),
            })?,
        };
        of_size(&id, blob, size)
    }

    /// Like [`Objects::blob`], for a blob that is read once: it is not cached,
    /// unless it is spooled.
    ///
    /// # Errors
    ///
    /// As [`Objects::blob`].
    pub(super) fn blob_uncached(&self, id: &oid, size: u64) -> Result<Blob> {
        let id = id.to_owned();
        let blob = match self.cached(&id) {
            Some(blob) => blob,
            None => self
                .decode_blob(id, size)
                .inspect(|blob| self.cache.count_inflated(blob))?,
        };
        of_size(&id, blob, size)
    }

    /// The length of a blob in bytes, from its header.
    ///
    /// # Errors
    ///
    /// [`Kind::NotFound`] if it does not exist, [`Kind::Corrupt`] if the header
    /// is damaged or not that of a blob.
    pub fn blob_size(&self, id: &oid) -> Result<u64> {
        self.cache
            .with_scratch(|scratch| self.store.blob_size(id, &mut scratch.inflate))
    }

    /// The derived content with the cache key `name`, if it is cached in memory.
    pub(crate) fn derived(&self, name: &ObjectId) -> Option<Blob> {
        self.cache.blob(name)
    }

    /// The same, also if it is spooled.
    pub(crate) fn derived_or_spooled(&self, name: &ObjectId) -> Option<Blob> {
        self.cached(name)
    }

    /// Derived content of `size` bytes with the cache key `name`, which must
    /// identify everything that it is derived from. `derive` writes it, once,
    /// however many threads ask for the same content at once. If it is large, it
    /// is spooled.
    ///
    /// # Errors
    ///
    /// As `derive`; [`Kind::Corrupt`] if it writes less or more.
    pub(crate) fn derive(
        &self,
        name: ObjectId,
        size: u64,
        derive: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>,
    ) -> Result<Blob> {
        self.single_flight.run(name, || {
            if let Some(blob) = self.cached(&name) {
                return Ok(blob);
            }
            if size > self.cache.max_in_memory() {
                let spooled = self.cache.spool().write_derived(name, size, derive)?;
                return Ok(Blob::Spooled(spooled));
            }
            let mut bytes = Vec::with_capacity(to_usize(size));
            derive(&mut |piece| {
                bytes.extend_from_slice(piece);
                spool::check_derived(to_u64(bytes.len()) <= size, size)
            })?;
            spool::check_derived(to_u64(bytes.len()) == size, size)?;
            let blob = Blob::InMemory(bytes.into());
            self.cache.put_blob(name, &blob);
            Ok(blob)
        })
    }

    /// The blob, if it is cached in memory or spooled.
    fn cached(&self, id: &ObjectId) -> Option<Blob> {
        self.cache
            .blob(id)
            .or_else(|| self.cache.spool().get(id).map(Blob::Spooled))
    }

    fn read_blob(&self, id: ObjectId, size: u64) -> Result<Blob> {
        let blob = self.decode_blob(id, size)?;
        if let Blob::InMemory(_) = blob {
            self.cache.put_blob(id, &blob);
        }
        Ok(blob)
    }

    fn decode_blob(&self, id: ObjectId, size: u64) -> Result<Blob> {
        if size <= self.cache.max_in_memory() {
            let decoded = self.decoded(&id, objs::Kind::Blob, DECODE_LIMIT)?;
            if let Some(bytes) = decoded {
                return Ok(Blob::InMemory(bytes));
            }
        }
        let spooled = self.cache.spool().write(&self.store, id, size)?;
        if size > self.cache.max_in_memory() {
            return Ok(Blob::Spooled(spooled));
        }
        // A small blob that is a delta on a large one.
        Ok(Blob::InMemory(spool::load(&spooled)?))
    }

    /// An object of at most `limit` bytes.
    fn decoded(&self, id: &oid, kind: objs::Kind, limit: u64) -> Result<Option<Arc<[u8]>>> {
        self.cache.with_scratch(|scratch| {
            let bases = self.cache.bases();
            let decoder = &mut Decoder {
                scratch,
                bases,
                limit,
            };
            self.store.decode(id, kind, decoder)
        })
    }

    /// Decodes an object that must fit into memory, and parses it. Of large ones,
    /// one at a time takes memory, until it is parsed.
    pub(super) fn decode<T>(
        &self,
        id: &oid,
        kind: objs::Kind,
        read: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Result<T> {
        // Small ones, which most are, wait for none.
        if let Some(bytes) = self.decoded(id, kind, LARGE)? {
            return read(&bytes);
        }
        let _one_at_a_time = self.cache.large_object();
        let decoded = self.decoded(id, kind, DECODE_LIMIT)?;
        let too_large = || {
            let message = format!("object {id} is too large for a commit or tree");
            Error::new(Kind::Unsupported, message)
        };
        read(&decoded.ok_or_else(too_large)?)
    }
}

/// The blob, if it has the length that is expected.
fn of_size(id: &ObjectId, blob: Blob, size: u64) -> Result<Blob> {
    if blob.len() == size {
        return Ok(blob);
    }
    Err(spool::wrong_size(id, blob.len(), size))
}

fn no_directory(path: &BStr, reason: &str) -> Error {
    Error::new(Kind::NotFound, format!("{path:?} {reason}"))
}
