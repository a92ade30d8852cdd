//! Finding and decoding objects in packs and loose files, in an object
//! directory and its alternates.

#![warn(clippy::arithmetic_side_effects)]

mod bases;
mod copies;
pub(super) mod delta;
mod inflate;
mod location;
mod loose;
mod multi_index;
mod pack;
mod pack_file;
mod raw;
mod reason;
mod scan;
mod scratch;
mod search;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock, atomic::AtomicUsize},
};

use gix::{hash, objs, oid, zlib};

use self::{bases::Decoded, scan::Scan};
pub(super) use self::{
    bases::DeltaBases,
    inflate::one_more,
    location::Location,
    loose::Loose,
    multi_index::open as open_multi_index,
    pack::{Chain, DECODE_LIMIT, Pack},
    pack_file::MappedPacks,
    reason::{causes, message},
    scan::directories,
    scratch::{Decoder, Scratch},
};
use super::{object_hash, sync::lock, wall::Wall};
use crate::error::{Error, Kind, Result};

/// How many delta bases are read from another pack than the delta, one because
/// of the other, while one object is decoded.
pub(super) const MAX_DETOURS: u32 = 8;

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
    wall: Wall,
    scan: RwLock<Arc<Scan>>,
    /// The pack of the last object found.
    recent: AtomicUsize,
    mapped: Arc<MappedPacks>,
}

/// An object directory.
pub(super) struct Directory<'a> {
    /// The name of its owner in error messages.
    pub(super) label: String,
    pub(super) path: &'a Path,
    pub(super) format: hash::Kind,
    /// Whether packs and loose objects may be added and removed.
    pub(super) live: bool,
    /// What nothing of it may lead out of.
    pub(super) wall: Wall,
}

impl Store {
    /// Opens an object directory.
    pub(super) fn open(directory: Directory<'_>, mapped: &Arc<MappedPacks>) -> Self {
        let Directory {
            label,
            path,
            format,
            live,
            wall,
        } = directory;
        let scan = Scan::new(path, format, &Scan::default(), &wall, mapped);
        if !live {
            scan.pin_symlinks();
        }
        Self {
            label,
            objects: path.into(),
            format,
            live,
            rescanning: Mutex::new(()),
            wall,
            scan: RwLock::new(Arc::new(scan)),
            recent: AtomicUsize::new(0),
            mapped: Arc::clone(mapped),
        }
    }

    /// The length of a blob in bytes, from its header.
    pub(super) fn blob_size(&self, id: &oid, inflate: &mut zlib::Inflate) -> Result<u64> {
        self.read(id, None, |location| match location {
            Location::Packed(pack, offset) => pack.blob_size(offset, inflate),
            Location::Loose(loose) => {
                expect_kind(id, loose.kind(), objs::Kind::Blob)?;
                Ok(loose.size())
            }
        })
    }

    /// Decodes an object and verifies its id; `None` if it, or its delta base,
    /// is larger than the decoder's limit.
    pub(super) fn decode(
        &self,
        id: &oid,
        kind: objs::Kind,
        decoder: &mut Decoder<'_>,
    ) -> Result<Option<Arc<[u8]>>> {
        let Some(object) = self.decode_copy(id, None, MAX_DETOURS, decoder)? else {
            return Ok(None);
        };
        expect_kind(id, object.kind, kind)?;
        Ok(Some(object.bytes))
    }

    /// Decodes and verifies a copy of an object that is not in the pack
    /// `except`. A damaged delta base is read elsewhere, `detours` times at
    /// most: packs may refer to one another.
    fn decode_copy(
        &self,
        id: &oid,
        except: Option<u32>,
        detours: u32,
        decoder: &mut Decoder<'_>,
    ) -> Result<Option<Decoded>> {
        self.read(id, except, |location| {
            let place = location.to_string();
            let object = match location {
                Location::Packed(pack, offset) => {
                    let mut elsewhere = |base: &oid, decoder: &mut Decoder<'_>| {
                        let left = detours.checked_sub(1)?;
                        let except = Some(pack.id());
                        Some(self.decode_copy(base, except, left, decoder))
                    };
                    pack.decode(offset, decoder, &mut elsewhere)
                }
                Location::Loose(loose) => loose.decode(decoder.limit),
            }?;
            if let Some(object) = &object {
                object_hash::verify(object.kind, &object.bytes, id)
                    .map_err(|error| error.within(place))?;
            }
            Ok(object)
        })
    }

    /// Refuses the id of another format.
    fn check_format(&self, id: &oid) -> Result<()> {
        if id.kind() == self.format {
            return Ok(());
        }
        let (label, format) = (&self.label, self.format);
        let message = format!("{id} is not an object id of {label}, which uses {format}");
        Err(Error::new(Kind::NotFound, message))
    }

    /// The hash function of its object ids.
    pub(super) fn format(&self) -> hash::Kind {
        self.format
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
        let (wall, mapped) = (&self.wall, &self.mapped);
        let newer = Arc::new(Scan::new(&self.objects, self.format, before, wall, mapped));
        if newer.is_same(before) {
            return None;
        }
        *self.scan.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&newer);
        Some(newer)
    }

    fn missing(&self, scan: &Scan, unknown: Option<Error>, id: &oid) -> Error {
        let mut message = format!("object {id} is missing in {}", self.label);
        if let Some(damage) = unknown {
            let kind = damage.kind();
            return Error::new(kind, format!("{message}, where {damage}"));
        }
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
