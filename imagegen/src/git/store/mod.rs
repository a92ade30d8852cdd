//! Where objects are: in packs, or loose, here or in an alternate.

mod bases;
pub(super) mod delta;
mod inflate;
mod loose;
mod pack;
mod scan;
mod search;
mod why;

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
    loose::Loose,
    pack::Pack,
    scan::directories,
    why::{causes, told},
};
use super::{object_hash, sync::lock};
use crate::error::{Error, Kind, Result};

/// What decoding needs and is worth keeping between objects.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) inflate: zlib::Inflate,
    /// The instructions of one delta.
    delta: Vec<u8>,
}

/// Where one object is.
pub(super) enum Location {
    /// In a pack, at an offset.
    Packed(Arc<Pack>, u64),
    /// In a file of its own.
    Loose(Box<Loose>),
}

/// Finds and decodes the objects of one object directory and its alternates.
///
/// Threads share nothing but the list of packs, which they copy; nobody waits
/// for somebody else's inflating.
pub(super) struct Store {
    /// What it belongs to, for errors: `repository /srv/git/a.git`.
    label: String,
    objects: PathBuf,
    format: hash::Kind,
    /// Whether the directory may change; a snapshot does not.
    live: bool,
    /// Held while the disk is looked at, so that many threads that miss an
    /// object look once.
    looking: Mutex<()>,
    scan: RwLock<Arc<Scan>>,
    /// The pack that had the last object: likely to have the next one.
    recent: AtomicUsize,
}

impl Store {
    /// Opens the object directory `objects`; `live` says that packs may come
    /// and go there.
    pub(super) fn open(label: String, objects: &Path, format: hash::Kind, live: bool) -> Self {
        let scan = Scan::new(objects, format, &Scan::default());
        Self {
            label,
            objects: objects.into(),
            format,
            live,
            looking: Mutex::new(()),
            scan: RwLock::new(Arc::new(scan)),
            recent: AtomicUsize::new(0),
        }
    }

    /// The length of a blob, from its header alone.
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

    /// Decodes an object and verifies its id; `None`: it, or what it is based
    /// on, is larger than memory should be asked for.
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

    /// Finds an object; looks at the disk again before it says that it is
    /// missing.
    pub(super) fn locate(&self, id: &oid) -> Result<Location> {
        if id.kind() != self.format {
            let (label, format) = (&self.label, self.format);
            let told = format!("{id} is no object id of {label}, which uses {format}");
            return Err(Error::new(Kind::NotFound, told));
        }
        let mut scan = self.scan();
        loop {
            if let Some(location) = self.locate_in(&scan, id)? {
                return Ok(location);
            }
            match self.look_again(&scan) {
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

    /// What the disk holds now, if that is something else than `before`.
    fn look_again(&self, before: &Arc<Scan>) -> Option<Arc<Scan>> {
        if !self.live {
            return None;
        }
        let _one_at_a_time = lock(&self.looking);
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
        let mut told = format!("object {id} is missing in {}", self.label);
        if let Some(broken) = scan.broken.first() {
            return Error::new(Kind::Corrupt, format!("{told}, where {broken}"));
        }
        if scan.promisor {
            told.push_str(
                ", a partial clone; `git fetch --refetch --no-filter` there brings all objects",
            );
        }
        Error::new(Kind::NotFound, told)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "objects of {}", self.label)
    }
}

impl Scratch {
    /// The memory it holds beside the decoder, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        self.delta.capacity()
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.heap_bytes())
    }
}

fn naming(id: &oid) -> String {
    format!("object {id}")
}

/// Checks that an object is of the kind it was asked for as.
fn expect_kind(id: &oid, found: objs::Kind, wanted: objs::Kind) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    let (found, wanted) = (object_hash::name(found), object_hash::name(wanted));
    let told = format!("object {id} is a {found}, not a {wanted}");
    Err(Error::new(Kind::Corrupt, told))
}
