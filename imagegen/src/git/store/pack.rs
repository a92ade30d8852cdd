//! Packs and their indexes.

use std::{fs::File, io, iter, path::Path, sync::Arc};

use gix::{ObjectId, hash, oid, zlib};
use gix_pack::{
    data::{self, entry::Header},
    index,
};

use super::{
    Decoded, Decoder, Scratch,
    delta::{self, Failure},
    inflate::Inflated,
    reason::{Reason, corrupt, read_elsewhere},
    search,
};
use crate::{
    error::{Error, Kind, Result},
    git::{mapping::Mapping, wall::Wall},
    numbers::{to_u64, to_usize},
};

/// The largest object, delta or base that is decoded in memory, in bytes. A
/// larger blob is streamed to a file.
pub(in crate::git) const DECODE_LIMIT: u64 = 64 << 20;

/// The longest chain of deltas that is followed; git writes at most 8191.
const CHAIN_LIMIT: usize = 10_000;

/// The entries of a delta chain, from an object down to what it is based on.
pub(in crate::git) struct Chain {
    pub(in crate::git) entries: Vec<data::Entry>,
    /// Where the base of the last entry is, and what is wrong with it; `None` if
    /// the last entry is not a delta.
    pub(in crate::git) damaged_base: Option<(u64, Error)>,
}

/// Reads an object from another place than the pack; `None` if it was tried too
/// often.
pub(super) type Elsewhere<'a> =
    dyn FnMut(&oid, &mut Decoder<'_>) -> Option<Result<Option<Decoded>>> + 'a;

/// A pack and its index, both mapped into memory.
pub(in crate::git) struct Pack {
    index: index::File<Mapping>,
    data: data::File<Mapping>,
    /// Those of the index and of the pack.
    mappings: [Mapping; 2],
}

impl Pack {
    /// Opens the index at `path` and its pack. The cache of delta bases
    /// distinguishes packs by `id`.
    ///
    /// # Errors
    ///
    /// [`Kind::Corrupt`] if one of them is malformed, or the index is that of
    /// another pack; [`Kind::Refused`] if one of them leads out;
    /// [`Kind::Io`] if no file can be opened or mapped.
    pub(super) fn open(path: &Path, format: hash::Kind, id: u32, wall: &Wall) -> Result<Self> {
        let failed = |error: gix::Error| corrupt(path, "cannot be opened", error);
        let pack = path.with_extension("pack");
        let mappings = [map(path, wall)?, map(&pack, wall)?];
        let [index, data] = mappings.clone();
        let index = index::File::from_data(index, path.into(), format);
        let index = index.map_err(failed)?;
        let data = data::File::from_data(data, pack, format);
        let mut data = data.map_err(failed)?;
        if index.pack_checksum() != data.checksum() || index.num_objects() != data.num_objects() {
            let message = format!("{} is the index of another pack", path.display());
            return Err(Error::new(Kind::Corrupt, message));
        }
        data.id = id;
        let pack = Self {
            index,
            data,
            mappings,
        };
        pack.check()?;
        Ok(pack)
    }

    /// Checks what was read since the pack was opened: before it is used, if
    /// nothing else shows that it is right.
    ///
    /// # Errors
    ///
    /// [`Kind::Corrupt`] if a page of the pack or the index is gone.
    pub(in crate::git) fn check(&self) -> Result<()> {
        let damaged = |path, error: io::Error| corrupt(path, "is damaged", error);
        let [index, data] = &self.mappings;
        let index = index.check();
        index.map_err(|error| damaged(self.index.path(), error))?;
        let data = data.check();
        data.map_err(|error| damaged(self.data.path(), error))
    }

    /// The id that it was opened with.
    pub(in crate::git) fn id(&self) -> u32 {
        self.data.id
    }

    /// The path of the pack.
    pub(in crate::git) fn path(&self) -> &Path {
        self.data.path()
    }

    /// The id of the object at `offset`, by a look at the whole index.
    pub(in crate::git) fn id_at(&self, offset: u64) -> Option<ObjectId> {
        let mut all = 0..self.index.num_objects();
        let at = all.find(|at| self.index.pack_offset_at_index(*at) == offset)?;
        Some(self.index.oid_at_index(at).to_owned())
    }

    /// The offset of the object in the pack; `None` if it is not in it.
    pub(super) fn find(&self, id: &oid) -> Option<u64> {
        let ids = |at| self.index.oid_at_index(at);
        let at = search::position(self.index.num_objects(), id, ids)?;
        Some(self.index.pack_offset_at_index(at))
    }

    /// The length of the blob at `offset` in bytes, from the start of its
    /// entry.
    pub(super) fn blob_size(&self, offset: u64, inflate: &mut zlib::Inflate) -> Result<u64> {
        let entry = self.entry(offset)?;
        match entry.header {
            Header::Blob => Ok(entry.decompressed_size),
            Header::OfsDelta { .. } | Header::RefDelta { .. } => {
                let mut head = [0; delta::HEAD];
                inflate.reset();
                let (_, _, length) = inflate
                    .prefix(self.compressed(&entry)?, &mut head)
                    .map_err(|error| self.corrupt(offset, error))?;
                let size = delta::result_size(head.split_at(length).0);
                size.map_err(|_| self.corrupt(offset, "a delta without its sizes"))
            }
            _ => Err(self.corrupt(offset, "the object is not a blob")),
        }
    }

    /// Decodes the object at `offset`; `None` if it, or its delta base, is too
    /// large for memory. A base that is damaged in the pack is read with
    /// `elsewhere`.
    pub(super) fn decode(
        &self,
        offset: u64,
        decoder: &mut Decoder<'_>,
        elsewhere: &mut Elsewhere<'_>,
    ) -> Result<Option<Decoded>> {
        let (mut chain, mut at, mut object) = (Vec::new(), Some(offset), None);
        while let Some(offset) = at.filter(|_| object.is_none()) {
            object = decoder.bases.get(self.data.id, offset);
            if object.is_some() {
                break;
            }
            match self.push_entry(offset, &mut chain) {
                Ok(base) => at = base,
                Err(damage) if chain.is_empty() => return Err(damage),
                Err(damage) => match self.base_elsewhere(offset, damage, decoder, elsewhere)? {
                    Some(base) => object = Some(base),
                    None => return Ok(None),
                },
            }
        }
        while let Some(entry) = chain.pop() {
            if entry.decompressed_size > decoder.limit {
                return Ok(None);
            }
            let offset = entry.pack_offset();
            let next = match object {
                Some(base) => self.apply(&entry, &base, decoder),
                None => self.inflate(&entry, &mut decoder.scratch.inflate).map(Some),
            };
            let next = match next {
                Err(damage) if !chain.is_empty() => {
                    self.base_elsewhere(offset, damage, decoder, elsewhere)
                }
                next => next,
            };
            let Some(next) = next? else { return Ok(None) };
            decoder.bases.put(self.data.id, offset, &next);
            object = Some(next);
        }
        Ok(object)
    }

    /// The delta base at `offset`, which has this damage here, from another
    /// place.
    fn base_elsewhere(
        &self,
        offset: u64,
        damage: Error,
        decoder: &mut Decoder<'_>,
        elsewhere: &mut Elsewhere<'_>,
    ) -> Result<Option<Decoded>> {
        let found = self.id_at(offset).and_then(|id| elsewhere(&id, decoder));
        Self::read_elsewhere(damage, found)
    }

    /// What was read in another place, if it was, instead of what has this
    /// damage here.
    pub(in crate::git) fn read_elsewhere<T>(damage: Error, found: Option<Result<T>>) -> Result<T> {
        match found {
            Some(Ok(found)) => {
                read_elsewhere(&damage);
                Ok(found)
            }
            Some(Err(_)) | None => Err(damage),
        }
    }

    /// The delta chain of the object at `offset`.
    ///
    /// # Errors
    ///
    /// [`Kind::Corrupt`] if its own entry is damaged.
    pub(in crate::git) fn chain(&self, offset: u64) -> Result<Chain> {
        let (mut entries, mut at) = (Vec::new(), Some(offset));
        while let Some(offset) = at {
            match self.push_entry(offset, &mut entries) {
                Ok(base) => at = base,
                Err(damage) if entries.is_empty() => return Err(damage),
                Err(damage) => {
                    let damaged_base = Some((offset, damage));
                    return Ok(Chain {
                        entries,
                        damaged_base,
                    });
                }
            }
        }
        Ok(Chain {
            entries,
            damaged_base: None,
        })
    }

    /// A reader of the inflated bytes of an entry.
    pub(in crate::git) fn stream(&self, entry: &data::Entry) -> Result<Inflated<&[u8]>> {
        self.compressed(entry).map(Inflated::new)
    }

    /// The error that the entry at `offset` is damaged.
    pub(in crate::git) fn corrupt(&self, offset: u64, reason: impl Into<Reason>) -> Error {
        corrupt(
            self.data.path(),
            &format!("is damaged at offset {offset}"),
            reason,
        )
    }

    /// Appends the entry at `offset` to a chain; returns the offset of its base
    /// if it is a delta.
    pub(super) fn push_entry(
        &self,
        offset: u64,
        chain: &mut Vec<data::Entry>,
    ) -> Result<Option<u64>> {
        if chain.len() >= CHAIN_LIMIT {
            return Err(self.corrupt(offset, "deltas in a loop"));
        }
        let entry = self.entry(offset)?;
        let base = match entry.header {
            Header::OfsDelta { base_distance } => entry.checked_base_pack_offset(base_distance),
            // Only packs in transfer refer to bases in other packs.
            Header::RefDelta { base_id } => self.find(&base_id),
            _ => {
                chain.push(entry);
                return Ok(None);
            }
        };
        let missing = || self.corrupt(offset, "a delta without a base in its pack");
        let base = base.ok_or_else(missing)?;
        chain.push(entry);
        Ok(Some(base))
    }

    /// The object in an entry that is not a delta.
    fn inflate(&self, entry: &data::Entry, inflate: &mut zlib::Inflate) -> Result<Decoded> {
        let offset = entry.pack_offset();
        let kind = entry.header.as_kind();
        let kind = kind.ok_or_else(|| self.corrupt(offset, "a delta without a base"))?;
        let bytes = fill(entry.decompressed_size, |out| {
            let inflated = self.data.decompress_entry(entry, inflate, out);
            inflated
                .map(drop)
                .map_err(|error| self.corrupt(offset, error))
        })?;
        Ok(Decoded { kind, bytes })
    }

    /// The result of the delta in an entry on its base; `None` if that is too
    /// large for memory.
    fn apply(
        &self,
        entry: &data::Entry,
        base: &Decoded,
        decoder: &mut Decoder<'_>,
    ) -> Result<Option<Decoded>> {
        let offset = entry.pack_offset();
        let failed = |failure| match failure {
            Failure::Corrupt(reason) => self.corrupt(offset, reason),
            Failure::Io(error) => self.corrupt(offset, error),
        };
        let Scratch { inflate, delta } = &mut *decoder.scratch;
        delta.clear();
        delta.resize(to_usize(entry.decompressed_size), 0);
        let inflated = self.data.decompress_entry(entry, inflate, delta);
        inflated.map_err(|error| self.corrupt(offset, error))?;
        let mut delta = delta.as_slice();
        let size = delta::read_sizes(&mut delta, to_u64(base.bytes.len())).map_err(failed)?;
        if size > decoder.limit {
            return Ok(None);
        }
        let bytes = fill(size, |mut out| {
            delta::apply(&mut delta, &mut &*base.bytes, size, &mut out).map_err(failed)
        })?;
        Ok(Some(Decoded {
            kind: base.kind,
            bytes,
        }))
    }

    fn entry(&self, offset: u64) -> Result<data::Entry> {
        let entry = self.data.entry(offset);
        entry.map_err(|error| self.corrupt(offset, error))
    }

    /// The pack from the compressed data of an entry on.
    pub(super) fn compressed(&self, entry: &data::Entry) -> Result<&[u8]> {
        let end = to_u64(self.data.pack_end());
        self.data
            .entry_slice(entry.data_offset..end)
            .ok_or_else(|| self.corrupt(entry.pack_offset(), "an entry without data"))
    }
}

/// Maps a file of a pack.
fn map(path: &Path, wall: &Wall) -> Result<Mapping> {
    let map = |file: File| Mapping::of(&file);
    let mapped = wall.open(path).and_then(map);
    mapped.map_err(|error| Error::io("open", path, error))
}

/// `size` bytes, which the caller has bounded, written by `write`.
fn fill(size: u64, write: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<Arc<[u8]>> {
    let mut bytes: Arc<[u8]> = iter::repeat_n(0, to_usize(size)).collect();
    write(Arc::get_mut(&mut bytes).expect("a new allocation is not shared"))?;
    Ok(bytes)
}
