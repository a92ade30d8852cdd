//! One pack and its index.

use std::{
    iter,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use gix::{hash, oid, zlib};
use gix_pack::{
    data::{self, entry::Header},
    index,
};

use super::{
    Decoded, DeltaBases, Scratch,
    delta::{self, Failure},
    inflate::Inflated,
    search,
    why::{Why, corrupt},
};
use crate::{
    error::{Error, Kind, Result},
    git::width::{to_u64, to_usize},
};

/// The largest object, delta or base that is decoded in memory, in bytes. A
/// larger one is streamed, if it is a blob.
pub(super) const DECODE_LIMIT: u64 = 64 << 20;

/// The longest chain of deltas; git writes none longer than 8191.
const CHAIN_LIMIT: usize = 10_000;

/// A pack file and its index, both mapped.
pub(in crate::git) struct Pack {
    index: index::File,
    data: data::File,
}

impl Pack {
    /// Opens the pack that belongs to the index at `path`.
    pub(super) fn open(path: &Path, format: hash::Kind) -> Result<Self> {
        /// Tells packs apart in the cache of delta bases.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let failed = |error: gix::Error| corrupt(path, "cannot be opened", error);
        let index = index::File::at(path, format).map_err(failed)?;
        let mut data = data::File::at(path.with_extension("pack"), format).map_err(failed)?;
        if index.pack_checksum() != data.checksum() || index.num_objects() != data.num_objects() {
            let told = format!("{} is not the index of its pack", path.display());
            return Err(Error::new(Kind::Corrupt, told));
        }
        data.id = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(Self { index, data })
    }

    /// Where in the pack the object lies.
    pub(super) fn find(&self, id: &oid) -> Option<u64> {
        let ids = |at| self.index.oid_at_index(at);
        let at = search::position(self.index.num_objects(), id, ids)?;
        Some(self.index.pack_offset_at_index(at))
    }

    /// The length of the blob at `offset`, from the first bytes of its entry.
    pub(super) fn blob_size(&self, offset: u64, inflate: &mut zlib::Inflate) -> Result<u64> {
        let entry = self.entry(offset)?;
        match entry.header {
            Header::Blob => Ok(entry.decompressed_size),
            Header::OfsDelta { .. } | Header::RefDelta { .. } => {
                let mut head = [0; delta::HEAD];
                inflate.reset();
                let (_, _, length) = inflate
                    .prefix(self.compressed(&entry), &mut head)
                    .map_err(|error| self.corrupt(offset, error))?;
                let size = delta::result_size(head.get(..length).unwrap_or_default());
                size.map_err(|_| self.corrupt(offset, "a delta without its sizes"))
            }
            _ => Err(self.corrupt(offset, "the object is not a blob")),
        }
    }

    /// Decodes the object at `offset`; `None` when it, or what it is based
    /// on, is too large for that.
    pub(super) fn decode(
        &self,
        offset: u64,
        scratch: &mut Scratch,
        bases: &DeltaBases,
    ) -> Result<Option<Decoded>> {
        let (mut chain, mut at, mut object) = (Vec::new(), Some(offset), None);
        while let Some(offset) = at.filter(|_| object.is_none()) {
            object = bases.get(self.data.id, offset);
            if object.is_none() {
                at = self.push_entry(offset, &mut chain)?;
            }
        }
        while let Some(entry) = chain.pop() {
            if entry.decompressed_size > DECODE_LIMIT {
                return Ok(None);
            }
            let next = match object {
                Some(base) => self.apply(&entry, &base, scratch)?,
                None => Some(self.inflate(&entry, &mut scratch.inflate)?),
            };
            let Some(next) = next else { return Ok(None) };
            bases.put(self.data.id, entry.pack_offset(), &next);
            object = Some(next);
        }
        Ok(object)
    }

    /// The entries from the object at `offset` down to the one that is no
    /// delta, which comes last.
    pub(in crate::git) fn chain(&self, offset: u64) -> Result<Vec<data::Entry>> {
        let (mut chain, mut at) = (Vec::new(), Some(offset));
        while let Some(offset) = at {
            at = self.push_entry(offset, &mut chain)?;
        }
        Ok(chain)
    }

    /// The inflated bytes of one entry.
    pub(in crate::git) fn stream(&self, entry: &data::Entry) -> Inflated<&[u8]> {
        Inflated::new(self.compressed(entry))
    }

    /// An error about the entry at `offset`.
    pub(in crate::git) fn corrupt(&self, offset: u64, why: impl Into<Why>) -> Error {
        corrupt(
            self.data.path(),
            &format!("is damaged at offset {offset}"),
            why,
        )
    }

    /// Adds the entry at `offset` to a chain; says where its base is, if it
    /// has one.
    fn push_entry(&self, offset: u64, chain: &mut Vec<data::Entry>) -> Result<Option<u64>> {
        if chain.len() >= CHAIN_LIMIT {
            return Err(self.corrupt(offset, "deltas in a loop"));
        }
        let entry = self.entry(offset)?;
        let base = match entry.header {
            Header::OfsDelta { base_distance } => entry.checked_base_pack_offset(base_distance),
            // Deltas of packs at rest have their bases in the same pack.
            Header::RefDelta { base_id } => self.find(&base_id),
            _ => {
                chain.push(entry);
                return Ok(None);
            }
        };
        chain.push(entry);
        let missing = || self.corrupt(offset, "a delta without a base in its pack");
        base.ok_or_else(missing).map(Some)
    }

    /// The object in an entry that is no delta.
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

    /// What the delta in an entry makes of its base; `None` when that is too
    /// large.
    fn apply(
        &self,
        entry: &data::Entry,
        base: &Decoded,
        scratch: &mut Scratch,
    ) -> Result<Option<Decoded>> {
        let offset = entry.pack_offset();
        let failed = |failure| match failure {
            Failure::Corrupt(why) => self.corrupt(offset, why),
            Failure::Io(error) => self.corrupt(offset, error),
        };
        let Scratch { inflate, delta } = scratch;
        delta.clear();
        delta.resize(to_usize(entry.decompressed_size), 0);
        let inflated = self.data.decompress_entry(entry, inflate, delta);
        inflated.map_err(|error| self.corrupt(offset, error))?;
        let mut delta = delta.as_slice();
        let size = delta::read_sizes(&mut delta, to_u64(base.bytes.len())).map_err(failed)?;
        if size > DECODE_LIMIT {
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

    fn compressed(&self, entry: &data::Entry) -> &[u8] {
        let end = to_u64(self.data.pack_end());
        self.data
            .entry_slice(entry.data_offset..end)
            .unwrap_or_default()
    }
}

/// Shared bytes of that length, written by `write`. The caller has bounded
/// `size`.
fn fill(size: u64, write: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<Arc<[u8]>> {
    let mut bytes: Arc<[u8]> = iter::repeat_n(0, to_usize(size)).collect();
    write(Arc::get_mut(&mut bytes).unwrap_or_default())?;
    Ok(bytes)
}
