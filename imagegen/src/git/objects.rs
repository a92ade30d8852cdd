//! Commits, listings and blobs of one object directory and its alternates.

use std::{path::Path, sync::Arc};

use gix::{
    ObjectId,
    bstr::{BStr, ByteSlice},
    hash, objs, oid,
};

use super::{
    Blob, Cache, Commit, EntryMode, Listing, cache::Domain, flight::Flights, prefetch, spool,
    store::Store, tree,
};
use crate::error::{Error, Kind, Result};

/// Reads one object directory and its alternates.
///
/// May be used by many threads at once; they wait for one another only when
/// they want the same blob.
#[derive(Debug)]
pub struct Objects {
    store: Store,
    domain: Domain,
    cache: Arc<Cache>,
    flights: Flights,
}

/// Where objects are.
pub(super) struct Place<'a> {
    /// What errors call it.
    pub(super) label: String,
    /// The repository they are from.
    pub(super) domain: Domain,
    pub(super) directory: &'a Path,
    pub(super) format: hash::Kind,
    /// Whether packs may come and go there.
    pub(super) live: bool,
}

impl Objects {
    /// Reads the objects of `place`, through a cache that others use too.
    pub(super) fn open(place: Place<'_>, cache: &Arc<Cache>) -> Self {
        let Place {
            label,
            domain,
            directory,
            format,
            live,
        } = place;
        let store = Store::open(label, directory, format, live);
        let (cache, flights) = (Arc::clone(cache), Flights::default());
        Self {
            store,
            domain,
            cache,
            flights,
        }
    }

    /// The tree and time of a commit.
    ///
    /// Fails with [`Kind::NotFound`] when it is not there, with
    /// [`Kind::Corrupt`] when the object is damaged or no commit.
    pub fn commit(&self, id: ObjectId) -> Result<Commit> {
        self.decode(&id, objs::Kind::Commit, |bytes| Commit::parse(&id, bytes))
    }

    /// The entries of a tree, with the sizes of its blobs.
    ///
    /// No blob is inflated for its size. An error names the entry it is about;
    /// the path of the directory is the caller's to add ([`Error::within`]).
    /// Fails with [`Kind::NotFound`] when an object is missing, with
    /// [`Kind::Corrupt`] when the tree is damaged or holds what git would not
    /// check out.
    pub fn tree(&self, id: ObjectId) -> Result<Arc<Listing>> {
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
        let listing = Arc::new(listing);
        self.cache.keep_listing(self.domain, id, &listing);
        Ok(listing)
    }

    /// Whether memory has the tree.
    pub(super) fn has_listing(&self, id: ObjectId) -> bool {
        self.cache.listing(self.domain, id).is_some()
    }

    /// The tree at `path` below `root`; an empty path is `root` itself.
    ///
    /// Fails with [`Kind::NotFound`] when no directory lies there.
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

    /// Reads all trees below `root` with several threads, so that
    /// [`Objects::tree`] then finds them in the cache. What cannot be read is
    /// left for `tree` to tell.
    pub fn prefetch_trees(&self, root: ObjectId) {
        prefetch::trees(self, &self.cache, root);
    }

    /// The blob, if memory has it: never waits for a disk, never inflates.
    pub fn blob_cached(&self, id: &oid) -> Option<Blob> {
        self.cache.blob(&id.to_owned())
    }

    /// The blob, its length and object id verified.
    ///
    /// `size` is its length in bytes, from the listing. Large blobs go through
    /// a temporary file, so memory does not grow with them. However many ask
    /// for a blob at once, it is inflated once.
    ///
    /// Fails with [`Kind::NotFound`] when it is missing, [`Kind::Corrupt`]
    /// when it is damaged, [`Kind::Unsupported`] when the spool may not hold
    /// so much. A failure is not remembered.
    pub fn blob(&self, id: &oid, size: u64) -> Result<Blob> {
        let id = id.to_owned();
        let blob = match self.kept(&id) {
            Some(blob) => blob,
            None => self.flights.join(id, || match self.kept(&id) {
                Some(blob) => Ok(blob),
                None => self
                    .read_blob(id, size)
                    .inspect(|blob| self.cache.count_inflated(blob)),
            })?,
        };
        if blob.len() == size {
            return Ok(blob);
        }
        let told = format!(
            "blob {id} is of {} bytes, where {size} were promised",
            blob.len()
        );
        Err(Error::new(Kind::Corrupt, told))
    }

    /// The length of a blob in bytes, from its header.
    ///
    /// Fails as [`Objects::blob`] does.
    pub fn blob_size(&self, id: &oid) -> Result<u64> {
        self.cache
            .with_scratch(|scratch| self.store.blob_size(id, &mut scratch.inflate))
    }

    /// What was made under this name before, if memory still has it.
    pub fn derived(&self, name: &ObjectId) -> Option<Blob> {
        self.cache.blob(name)
    }

    /// What `make` makes, kept like a blob under a name that says all it is
    /// made from. However many ask at once, it is made once.
    pub fn derive(&self, name: ObjectId, make: impl FnOnce() -> Result<Vec<u8>>) -> Result<Blob> {
        self.flights.join(name, || {
            if let Some(blob) = self.cache.blob(&name) {
                return Ok(blob);
            }
            let blob = Blob::Held(make()?.into());
            self.cache.keep_blob(name, &blob);
            Ok(blob)
        })
    }

    fn kept(&self, id: &ObjectId) -> Option<Blob> {
        self.cache
            .blob(id)
            .or_else(|| self.cache.spool().get(id).map(Blob::Spooled))
    }

    fn read_blob(&self, id: ObjectId, size: u64) -> Result<Blob> {
        if size <= self.cache.held_limit() {
            let held = self.cache.with_scratch(|scratch| {
                let bases = self.cache.bases();
                self.store.decode(&id, objs::Kind::Blob, scratch, bases)
            })?;
            if let Some(bytes) = held {
                let blob = Blob::Held(bytes);
                self.cache.keep_blob(id, &blob);
                return Ok(blob);
            }
        }
        let spooled = self.cache.spool().write(&self.store, id, size)?;
        if size > self.cache.held_limit() {
            return Ok(Blob::Spooled(spooled));
        }
        // Small, but based on something large.
        let blob = Blob::Held(spool::load(&spooled)?);
        self.cache.keep_blob(id, &blob);
        Ok(blob)
    }

    /// Decodes an object that must fit in memory, and reads it.
    fn decode<T>(
        &self,
        id: &oid,
        kind: objs::Kind,
        read: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Result<T> {
        let bases = self.cache.bases();
        let decoded = self
            .cache
            .with_scratch(|scratch| self.store.decode(id, kind, scratch, bases))?;
        let too_large = || {
            let told = format!("object {id} is larger than any commit or tree should be");
            Error::new(Kind::Unsupported, told)
        };
        read(&decoded.ok_or_else(too_large)?)
    }
}

fn no_directory(path: &BStr, why: &str) -> Error {
    Error::new(Kind::NotFound, format!("{path:?} {why}"))
}
