//! Finding and decoding objects in packs and loose files, in an object
//! directory and its alternates.

#![warn(clippy::arithmetic_side_effects)]

mod bases;
pub(super) mod delta;
mod inflate;
mod loose;
mod pack;
mod reason;
mod scan;
mod scratch;
mod search;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use gix::{hash, objs, oid, zlib};

use self::{bases::Decoded, scan::Scan};
pub(super) use self::{
    bases::DeltaBases,
    inflate::one_more,
    loose::Loose,
    pack::Pack,
    reason::{causes, message},
    scan::directories,
    scratch::Scratch,
};
use super::{object_hash, sync::lock};
use crate::error::{Error, Kind, Result};

/// Where an object is stored.
pub(super) enum Location {
    /// In a pack, at an offset.
    Packed(Arc<Pack>, u64),
    /// In a file of its own.
    Loose(Box<Loose>),
}

/// The objects of one object directory and its alternates.
///
/// Threads share only the list of packs; none waits while another inflates.
pub(super) struct Store {
    /// Its owner in error messages, such as `repository /srv/git/a.git`.
    label: String,
    objects: PathBuf,
    format: hash::Kind,
    /// Whether the directory may change; that of a snapshot does not.
    live: bool,
    /// Held during a rescan, so that many threads that miss an object cause
    /// one.
    rescanning: Mutex<()>,
    scan: RwLock<Arc<Scan>>,
    /// The pack of the last object found, which likely has the next one too.
    recent: AtomicUsize,
}

impl Store {
    /// Opens the object directory `objects`. With `live`, packs and loose
    /// objects may be added and removed while it is open.
    pub(super) fn open(label: String, objects: &Path, format: hash::Kind, live: bool) -> Self {
        let scan = Scan::new(objects, format, &Scan::default());
        Self {
            label,
            objects: objects.into(),
            format,
            live,
            rescanning: Mutex::new(()),
            scan: RwLock::new(Arc::new(scan)),
            recent: AtomicUsize::new(0),
        }
    }

    /// The length of a blob in bytes, from its header.
    pub(super) fn blob_size(&self, id: &oid, inflate: &mut zlib::Inflate) -> Result<u64> {
        match self.locate(id)? {
            Location::Packed(pack, offset) => {
                let size = pack.blob_size(offset, inflate);
                size.map_err(|error| error.within(naming(id)))
            }
            Location::Loose(loose) => {
                expect_kind(id, loose.kind(), objs::Kind::Blob)?;
                Ok(loose.size())
            }
        }
    }

    /// Decodes an object and verifies its id; `None` if it, or its delta base,
    /// is too large for memory.
    pub(super) fn decode(
        &self,
        id: &oid,
        kind: objs::Kind,
        scratch: &mut Scratch,
        bases: &DeltaBases,
    ) -> Result<Option<Arc<[u8]>>> {
        let decoded = match self.locate(id)? {
            Location::Packed(pack, offset) => pack.decode(offset, scratch, bases),
            Location::Loose(loose) => loose.decode(),
        };
        let decoded = decoded.map_err(|error| error.within(naming(id)))?;
        let Some(object) = decoded else {
            return Ok(None);
        };
        expect_kind(id, object.kind, kind)?;
        object_hash::verify(kind, &object.bytes, id)?;
        Ok(Some(object.bytes))
    }

    /// Finds an object. A live directory is scanned again before an object is
    /// reported missing.
    pub(super) fn locate(&self, id: &oid) -> Result<Location> {
        if id.kind() != self.format {
            let (label, format) = (&self.label, self.format);
            let message = format!("{id} is not an object id of {label}, which uses {format}");
            return Err(Error::new(Kind::NotFound, message));
        }
        let mut scan = self.scan();
        loop {
            if let Some(location) = self.locate_in(&scan, id)? {
                return Ok(location);
            }
            match self.rescan(&scan) {
                Some(newer) => scan = newer,
                None => return Err(self.missing(&scan, id)),
            }
        }
    }

    fn locate_in(&self, scan: &Scan, id: &oid) -> Result<Option<Location>> {
        let recent = self.recent.load(Ordering::Relaxed);
        let first = scan.packs.get(recent).map(|pack| (recent, pack));
        for (at, pack) in first.into_iter().chain(scan.packs.iter().enumerate()) {
            if let Some(offset) = pack.find(id) {
                if at != recent {
                    self.recent.store(at, Ordering::Relaxed);
                }
                return Ok(Some(Location::Packed(Arc::clone(pack), offset)));
            }
        }
        for directory in &scan.directories {
            let loose = Loose::open(directory, id).map_err(|error| error.within(naming(id)))?;
            if let Some(loose) = loose {
                return Ok(Some(Location::Loose(Box::new(loose))));
            }
        }
        Ok(None)
    }

    fn scan(&self) -> Arc<Scan> {
        Arc::clone(&self.scan.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The current content of the directory; `None` if nothing has changed
    /// since `before`.
    fn rescan(&self, before: &Arc<Scan>) -> Option<Arc<Scan>> {
        if !self.live {
            return None;
        }
        let _one_at_a_time = lock(&self.rescanning);
        let now = self.scan();
        if !Arc::ptr_eq(&now, before) {
            return Some(now);
        }
        let newer = Arc::new(Scan::new(&self.objects, self.format, before));
        if newer.is_same(before) {
            return None;
        }
        *self.scan.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&newer);
        Some(newer)
    }

    fn missing(&self, scan: &Scan, id: &oid) -> Error {
        let mut message = format!("object {id} is missing in {}", self.label);
        if let Some(damage) = scan.damaged.first() {
            return Error::new(Kind::Corrupt, format!("{message}, where {damage}"));
        }
        if scan.promisor {
            message.push_str(
                ", a partial clone; `git fetch --refetch --no-filter` there fetches all objects",
            );
        }
        Error::new(Kind::NotFound, message)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "objects of {}", self.label)
    }
}

fn naming(id: &oid) -> String {
    format!("object {id}")
}

/// Checks that an object is of the expected kind.
fn expect_kind(id: &oid, found: objs::Kind, expected: objs::Kind) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    let (found, expected) = (object_hash::name(found), object_hash::name(expected));
    let message = format!("object {id} is a {found}, not a {expected}");
    Err(Error::new(Kind::Corrupt, message))
}
