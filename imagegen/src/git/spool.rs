//! Blobs too large to hold, in temporary files without a name.
//!
//! A blob goes into its file piece by piece, also when it is a delta: its base
//! is spooled first, then the delta is inflated and applied at once. Nothing
//! of it is served before its object id has been verified.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use gix::{ObjectId, hash, objs};
use gix_pack::data;

use super::{
    blob::Spooled,
    byte_lru::ByteLru,
    object_hash::{Hashing, ObjectHash},
    store::{
        Location, Loose, Pack, Store,
        delta::{self, Failure, FileBase},
    },
    sync::lock,
    width::to_u64,
};
use crate::error::{Error, Kind, Result};

/// How much is written at a time.
const BUFFER: usize = 256 << 10;

/// Spooled blobs, the least recently used closed first.
#[derive(Debug)]
pub(super) struct Spool {
    directory: PathBuf,
    limit: u64,
    kept: Mutex<ByteLru<ObjectId, Arc<Spooled>>>,
    /// Held while a blob is written: one at a time, so that what is being
    /// written is bounded as well.
    writing: Mutex<()>,
}

/// A temporary file, its length, and the id of the blob that it would be.
struct Part {
    file: File,
    size: u64,
    hash: ObjectHash,
}

impl Spool {
    pub(super) fn new(directory: &Path, limit: u64) -> Self {
        let (kept, writing) = (Mutex::new(ByteLru::new(limit)), Mutex::new(()));
        Self {
            directory: directory.into(),
            limit,
            kept,
            writing,
        }
    }

    /// A blob that is spooled already.
    pub(super) fn get(&self, id: &ObjectId) -> Option<Arc<Spooled>> {
        lock(&self.kept).get(id).cloned()
    }

    /// Writes the blob, of `size` bytes, into a file, and keeps it.
    pub(super) fn write(&self, store: &Store, id: ObjectId, size: u64) -> Result<Arc<Spooled>> {
        self.check_size(size)
            .map_err(|error| error.within(format!("blob {id}")))?;
        let _one_at_a_time = lock(&self.writing);
        if let Some(spooled) = self.get(&id) {
            return Ok(spooled);
        }
        lock(&self.kept).make_room(size);
        let part = match store.locate(&id)? {
            Location::Loose(loose) => self.write_loose(*loose, id.kind()),
            Location::Packed(pack, offset) => self.write_packed(&pack, offset, id.kind()),
        };
        let part = part.map_err(|error| error.within(format!("blob {id}")))?;
        if part.size != size {
            let told = format!(
                "blob {id} is of {} bytes, where {size} were promised",
                part.size
            );
            return Err(Error::new(Kind::Corrupt, told));
        }
        part.hash.verify(&id)?;
        let Part { file, size, .. } = part;
        let spooled = Arc::new(Spooled { file, size });
        lock(&self.kept).put(id, Arc::clone(&spooled), size);
        Ok(spooled)
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

    /// Spools the object at `offset`: its base, then what each delta makes of
    /// the one before.
    fn write_packed(&self, pack: &Pack, offset: u64, format: hash::Kind) -> Result<Part> {
        let mut chain = pack.chain(offset)?;
        let base = chain.pop();
        let base = base.filter(|base| base.header == data::entry::Header::Blob);
        let base = base.ok_or_else(|| pack.corrupt(offset, "the object is not a blob"))?;
        let mut part = self.write_base(pack, &base, format)?;
        while let Some(entry) = chain.pop() {
            part = self.write_delta(pack, &entry, &part, format)?;
        }
        Ok(part)
    }

    /// Spools an entry that is no delta.
    fn write_base(&self, pack: &Pack, entry: &data::Entry, format: hash::Kind) -> Result<Part> {
        let size = entry.decompressed_size;
        let mut out = self.create(format, size)?;
        let mut content = pack.stream(entry).take(size.saturating_add(1));
        let copied = io::copy(&mut content, &mut out)
            .map_err(|error| self.told(pack, entry, Failure::Io(error)))?;
        if copied != size {
            return Err(pack.corrupt(entry.pack_offset(), "its content is not as long as it says"));
        }
        self.finish(out, size)
    }

    /// Spools what the delta `entry` makes of `base`.
    fn write_delta(
        &self,
        pack: &Pack,
        entry: &data::Entry,
        base: &Part,
        format: hash::Kind,
    ) -> Result<Part> {
        let failed = |failure| self.told(pack, entry, failure);
        let mut delta = BufReader::new(pack.stream(entry));
        let size = delta::read_sizes(&mut delta, base.size).map_err(failed)?;
        let mut out = self.create(format, size)?;
        let mut base = FileBase::new(&base.file, base.size);
        delta::apply(&mut delta, &mut base, size, &mut out).map_err(failed)?;
        self.finish(out, size)
    }

    /// A new file for a blob of that length.
    fn create(&self, format: hash::Kind, size: u64) -> Result<Hashing<BufWriter<File>>> {
        self.check_size(size)?;
        let file = tempfile::tempfile_in(&self.directory)
            .map_err(|error| Error::io("make a temporary file in", &self.directory, error))?;
        let hash = ObjectHash::new(format, objs::Kind::Blob, size)?;
        let inner = BufWriter::with_capacity(BUFFER, file);
        Ok(Hashing { inner, hash })
    }

    fn finish(&self, out: Hashing<BufWriter<File>>, size: u64) -> Result<Part> {
        let Hashing { inner, hash } = out;
        let file = inner.into_inner().map_err(io::IntoInnerError::into_error);
        let file = file.map_err(|error| Error::io("spool into", &self.directory, error))?;
        Ok(Part { file, size, hash })
    }

    /// Refuses what the spool could not hold even when it is empty.
    fn check_size(&self, size: u64) -> Result<()> {
        if size <= self.limit {
            return Ok(());
        }
        let limit = self.limit;
        let told = format!("{size} bytes are more than the {limit} bytes that may be spooled");
        Err(Error::new(Kind::Unsupported, told))
    }

    /// Damage of the pack, or trouble with the spool.
    fn told(&self, pack: &Pack, entry: &data::Entry, failure: Failure) -> Error {
        match failure {
            Failure::Corrupt(why) => pack.corrupt(entry.pack_offset(), why),
            Failure::Io(error) => match error.kind() {
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                    pack.corrupt(entry.pack_offset(), error)
                }
                _ => Error::io("spool into", &self.directory, error),
            },
        }
    }
}

/// The bytes of a spooled blob, for one that is small after all.
pub(super) fn load(spooled: &Spooled) -> Result<Arc<[u8]>> {
    let mut bytes = Vec::new();
    let mut file = &spooled.file;
    io::Seek::rewind(&mut file)
        .and_then(|()| file.take(spooled.size).read_to_end(&mut bytes))
        .map_err(|error| {
            Error::with_source(Kind::Io, format!("cannot read the spool: {error}"), error)
        })?;
    debug_assert_eq!(
        to_u64(bytes.len()),
        spooled.size,
        "nobody else has the file"
    );
    Ok(bytes.into())
}
