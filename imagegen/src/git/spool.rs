//! Blobs too large for memory, in unlinked temporary files.
//!
//! A blob is written to its file piece by piece. For a delta, the base is
//! spooled first, and the delta is applied while it is inflated. Nothing is
//! served before the object id is verified.

#![warn(clippy::arithmetic_side_effects)]

use std::{
    collections::HashSet,
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    num::{NonZeroU64, NonZeroUsize},
    path::{Path, PathBuf},
    result,
    sync::{Arc, Condvar, Mutex, PoisonError},
};

use gix::{ObjectId, hash, objs};
use gix_pack::data;

use super::{
    blob::Spooled,
    byte_lru::ByteLru,
    object_hash::{Hashing, ObjectHash},
    store::{
        Chain, Location, Loose, MAX_DETOURS, Pack, Store,
        delta::{self, Failure, FileBase},
        one_more,
    },
    sync::lock,
};
use crate::{
    error::{Error, Kind, Result},
    numbers::to_u64,
};

/// The size of a write in bytes.
const BUFFER: usize = 256 << 10;

/// The spooled blobs, bounded by bytes and by number; the least recently used are
/// dropped first.
#[derive(Debug)]
pub(super) struct Spool {
    directory: PathBuf,
    limit: u64,
    /// What the smallest blob counts, in bytes, so that so many of them that each
    /// has an open file reach the limit.
    least: u64,
    spooled: Mutex<ByteLru<ObjectId, Arc<Spooled>>>,
    writing: Mutex<Writing>,
    /// Something is written, or cannot be.
    written: Condvar,
}

/// What is being written, each by one thread. With what is kept it has room in
/// the spool.
#[derive(Debug, Default)]
struct Writing {
    names: HashSet<ObjectId>,
    bytes: u64,
}

/// The right to write something, until it is dropped.
struct Turn<'a> {
    spool: &'a Spool,
    name: ObjectId,
    bytes: u64,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut writing = lock(&self.spool.writing);
        writing.names.remove(&self.name);
        writing.bytes = writing.bytes.saturating_sub(self.bytes);
        drop(writing);
        self.spool.written.notify_all();
    }
}

/// A temporary file, its length, and the hash of its content as a blob.
struct Part {
    file: File,
    size: u64,
    hash: ObjectHash,
}

impl Spool {
    /// A spool of up to `limit` bytes in up to `files` files.
    pub(super) fn new(directory: &Path, limit: u64, files: NonZeroUsize) -> Self {
        let files = NonZeroU64::try_from(files).expect("a usize has at most 64 bits");
        Self {
            directory: directory.into(),
            limit,
            least: limit / files,
            spooled: Mutex::new(ByteLru::new(limit)),
            writing: Mutex::default(),
            written: Condvar::new(),
        }
    }

    /// What spooled blobs count, and may count together, in bytes.
    pub(super) fn in_use(&self) -> (u64, u64) {
        (lock(&self.spooled).used(), self.limit)
    }

    /// The blob, if it is spooled already.
    pub(super) fn get(&self, id: &ObjectId) -> Option<Arc<Spooled>> {
        lock(&self.spooled).get(id).cloned()
    }

    /// Spools a blob of `size` bytes.
    ///
    /// # Errors
    ///
    /// As [`Objects::blob`](super::Objects::blob).
    pub(super) fn write(&self, store: &Store, id: ObjectId, size: u64) -> Result<Arc<Spooled>> {
        self.check_size(size)
            .map_err(|error| error.within(format!("blob {id}")))?;
        let _turn = match self.turn(id, size) {
            Ok(turn) => turn,
            Err(spooled) => return Ok(spooled),
        };
        let part = store.read(&id, None, |location| {
            let part = self.write_copy(store, location, &id, MAX_DETOURS)?;
            if part.size == size {
                Ok(part)
            } else {
                Err(wrong_size(&id, part.size, size))
            }
        })?;
        let Part { file, size, .. } = part;
        Ok(self.keep(id, Spooled { file, size }))
    }

    /// What a file of `size` bytes counts: at least its share of the spool, so that
    /// the number of files is bounded, too.
    fn weight(&self, size: u64) -> u64 {
        size.max(self.least)
    }

    /// Waits until nobody else writes the same, and there is room for `size` bytes
    /// beside what others write. Files that are kept make room.
    ///
    /// # Errors
    ///
    /// What was written meanwhile, or is kept already.
    fn turn(&self, name: ObjectId, size: u64) -> result::Result<Turn<'_>, Arc<Spooled>> {
        let bytes = self.weight(size);
        let mut writing = lock(&self.writing);
        loop {
            if let Some(spooled) = self.get(&name) {
                return Err(spooled);
            }
            let sum = writing.bytes.saturating_add(bytes);
            let has_room = writing.names.is_empty() || sum <= self.limit;
            if has_room && writing.names.insert(name) {
                writing.bytes = sum;
                lock(&self.spooled).make_room(sum);
                let spool = self;
                return Ok(Turn { spool, name, bytes });
            }
            let waited = self.written.wait(writing);
            writing = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn keep(&self, name: ObjectId, spooled: Spooled) -> Arc<Spooled> {
        let weight = self.weight(spooled.size);
        let spooled = Arc::new(spooled);
        lock(&self.spooled).put(name, Arc::clone(&spooled), weight);
        spooled
    }

    /// Spools and verifies a copy of the blob `id`. A damaged delta base is read
    /// elsewhere, `detours` times at most.
    fn write_copy(
        &self,
        store: &Store,
        location: Location,
        id: &ObjectId,
        detours: u32,
    ) -> Result<Part> {
        let place = location.to_string();
        let part = match location {
            Location::Loose(loose) => self.write_loose(*loose, id.kind()),
            Location::Packed(pack, offset) => {
                let elsewhere = |base: &ObjectId| {
                    let left = detours.checked_sub(1)?;
                    let copy = |location| self.write_copy(store, location, base, left);
                    Some(store.read(base, Some(pack.id()), copy))
                };
                self.write_packed(&pack, offset, id.kind(), &elsewhere)
            }
        }?;
        let verified = part.hash.clone().verify(id);
        verified.map_err(|error| error.within(place))?;
        Ok(part)
    }

    /// Spools content of `size` bytes that `derive` writes, under a name of its
    /// own. `derive` must not spool anything: others that wait for room would wait
    /// for it, and it for them.
    ///
    /// # Errors
    ///
    /// [`Kind::Unsupported`] if it is larger than the whole spool,
    /// [`Kind::Corrupt`] if `derive` writes less or more, [`Kind::Io`] if the
    /// file cannot be written; else as `derive`.
    pub(super) fn write_derived(
        &self,
        name: ObjectId,
        size: u64,
        derive: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>,
    ) -> Result<Arc<Spooled>> {
        self.check_size(size)?;
        let _turn = match self.turn(name, size) {
            Ok(turn) => turn,
            Err(spooled) => return Ok(spooled),
        };
        let failed = |error| Error::io("write to", &self.directory, error);
        let mut out = BufWriter::with_capacity(BUFFER, self.temporary()?);
        let mut written = 0u64;
        derive(&mut |piece| {
            written = written.saturating_add(to_u64(piece.len()));
            check_derived(written <= size, size)?;
            out.write_all(piece).map_err(failed)
        })?;
        check_derived(written == size, size)?;
        let file = out.into_inner().map_err(io::IntoInnerError::into_error);
        let file = file.map_err(failed)?;
        Ok(self.keep(name, Spooled { file, size }))
    }

    fn write_loose(&self, loose: Loose, format: hash::Kind) -> Result<Part> {
        if loose.kind() != objs::Kind::Blob {
            return Err(Error::new(Kind::Corrupt, "the object is not a blob"));
        }
        let size = loose.size();
        let mut out = self.create(format, size)?;
        loose.copy_to(&mut out)?;
        self.finish(out, size)
    }

    /// Spools the object at `offset`: the base of its chain, then the result of
    /// each delta. A base that is damaged in the pack is spooled by `elsewhere`.
    fn write_packed(
        &self,
        pack: &Pack,
        offset: u64,
        format: hash::Kind,
        elsewhere: &dyn Fn(&ObjectId) -> Option<Result<Part>>,
    ) -> Result<Part> {
        let instead_of = |offset: u64, damage: Error| {
            let found = pack.id_at(offset).and_then(|id| elsewhere(&id));
            Pack::read_elsewhere(damage, found)
        };
        let Chain {
            mut entries,
            damaged_base,
        } = pack.chain(offset)?;
        let mut part = None;
        if let Some((offset, damage)) = damaged_base {
            part = Some(instead_of(offset, damage)?);
        }
        while let Some(entry) = entries.pop() {
            let written = match &part {
                Some(base) => self.write_delta(pack, &entry, base, format),
                None => self.write_base(pack, &entry, format),
            };
            part = Some(match written {
                Err(damage) if damage.kind() == Kind::Corrupt && !entries.is_empty() => {
                    instead_of(entry.pack_offset(), damage)?
                }
                written => written?,
            });
        }
        Ok(part.expect("a chain has an entry"))
    }

    /// Spools an entry that is not a delta.
    fn write_base(&self, pack: &Pack, entry: &data::Entry, format: hash::Kind) -> Result<Part> {
        if entry.header != data::entry::Header::Blob {
            return Err(pack.corrupt(entry.pack_offset(), "the object is not a blob"));
        }
        let size = entry.decompressed_size;
        let mut out = self.create(format, size)?;
        let mut content = pack.stream(entry)?.take(one_more(size));
        let copied = io::copy(&mut content, &mut out)
            .map_err(|error| self.failed(pack, entry, Failure::Io(error)))?;
        if copied != size {
            return Err(pack.corrupt(entry.pack_offset(), "its content has another length"));
        }
        self.finish(out, size)
    }

    /// Spools the result of the delta `entry` on `base`.
    fn write_delta(
        &self,
        pack: &Pack,
        entry: &data::Entry,
        base: &Part,
        format: hash::Kind,
    ) -> Result<Part> {
        let failed = |failure| self.failed(pack, entry, failure);
        let mut delta = BufReader::new(pack.stream(entry)?);
        let size = delta::read_sizes(&mut delta, base.size).map_err(failed)?;
        let mut out = self.create(format, size)?;
        let mut base = FileBase::new(&base.file, base.size);
        delta::apply(&mut delta, &mut base, size, &mut out).map_err(failed)?;
        self.finish(out, size)
    }

    /// A new file for a blob of `size` bytes.
    fn create(&self, format: hash::Kind, size: u64) -> Result<Hashing<BufWriter<File>>> {
        self.check_size(size)?;
        let file = self.temporary()?;
        let hash = ObjectHash::new(format, objs::Kind::Blob, size)?;
        let inner = BufWriter::with_capacity(BUFFER, file);
        Ok(Hashing { inner, hash })
    }

    fn temporary(&self) -> Result<File> {
        tempfile::tempfile_in(&self.directory)
            .map_err(|error| Error::io("create a temporary file in", &self.directory, error))
    }

    fn finish(&self, out: Hashing<BufWriter<File>>, size: u64) -> Result<Part> {
        let Hashing { inner, hash } = out;
        let file = inner.into_inner().map_err(io::IntoInnerError::into_error);
        let file = file.map_err(|error| Error::io("write to", &self.directory, error))?;
        Ok(Part { file, size, hash })
    }

    /// Refuses a blob larger than the whole spool.
    fn check_size(&self, size: u64) -> Result<()> {
        if size <= self.limit {
            return Ok(());
        }
        let limit = self.limit;
        let message = format!(
            "{size} bytes are more than the {limit} bytes that may be \
                 spooled (--spool of the server)"
        );
        Err(Error::new(Kind::Unsupported, message))
    }

    /// The error for damage of the pack or a failure to write.
    fn failed(&self, pack: &Pack, entry: &data::Entry, failure: Failure) -> Error {
        match failure {
            Failure::Corrupt(reason) => pack.corrupt(entry.pack_offset(), reason),
            Failure::Io(error) => match error.kind() {
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                    pack.corrupt(entry.pack_offset(), error)
                }
                _ => Error::io("write to", &self.directory, error),
            },
        }
    }
}

/// The error that a blob has another length than the one it was read with.
pub(super) fn wrong_size(id: &ObjectId, found: u64, expected: u64) -> Error {
    let message = format!("blob {id} is {found} bytes long, not {expected}");
    Error::new(Kind::Corrupt, message)
}

/// Checks that derived content is as long as planned, or can become so.
///
/// # Errors
///
/// [`Kind::Corrupt`] if not.
pub(super) fn check_derived(fits: bool, planned: u64) -> Result<()> {
    if fits {
        return Ok(());
    }
    let message = format!("other content than the {planned} bytes that were planned");
    Err(Error::new(Kind::Corrupt, message))
}

/// The content of a spooled blob that fits into memory.
pub(super) fn load(spooled: &Spooled) -> Result<Arc<[u8]>> {
    let mut bytes = Vec::new();
    let mut file = &spooled.file;
    io::Seek::rewind(&mut file)
        .and_then(|()| file.take(spooled.size).read_to_end(&mut bytes))
        .map_err(|error| {
            Error::with_source(
                Kind::Io,
                format!("cannot read a spooled blob: {error}"),
                error,
            )
        })?;
    assert!(
        to_u64(bytes.len()) == spooled.size,
        "an unlinked file is not truncated by others"
    );
    Ok(bytes.into())
}
