//! The pack of a closure. Entries are copied as they are, a delta only if its base is
//! copied from the same pack too; others are deflated anew. Their order is that of the
//! packs by name, and of the entries in those, so that the same packs give the same
//! bytes.

#![warn(clippy::arithmetic_side_effects)]

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufWriter, Write},
    path::PathBuf,
    sync::Arc,
};

use gix::{
    ObjectId,
    objs::Kind as ObjectKind,
    zlib::{Compression, stream::deflate},
};
use gix_pack::data::{Entry, entry::Header};

use super::{
    bounds::Bounds,
    closure::Closure,
    index::{Indexed, Written, finish},
};
use crate::{
    error::{Error, Kind, Result},
    git::{
        Objects,
        object_hash::{Hashing, ObjectHash},
        store::{Location, Pack},
    },
    numbers::{to_u64, to_usize},
};

/// How much of a blob is deflated at once.
const PIECE: u64 = 1 << 18;
/// How many entries are written between looks at the bounds.
const STEP: usize = 256;

/// Where an object is copied from: the number of its pack, and the offset there. What
/// lies in a file of its own comes first, with number 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    pack: u32,
    offset: u64,
    id: ObjectId,
}

/// The packs, by their ids, with the numbers that places have.
type Numbers = HashMap<u32, u32>;

/// An entry of a pack that is copied.
struct Copied {
    pack: Arc<Pack>,
    entry: Entry,
    header: Header,
    /// The length of its compressed data.
    length: u64,
}

struct Packing<'a> {
    objects: &'a Objects,
    closure: &'a Closure,
    places: Vec<Place>,
    numbers: Numbers,
    /// The offsets at which places were written, in their order.
    offsets: Vec<u64>,
    out: Out,
}

/// A pack that is being written.
struct Out {
    inner: Hashing<BufWriter<File>>,
    position: u64,
    crc: crc32fast::Hasher,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.position = self.position.saturating_add(to_u64(written));
        self.crc.update(bytes.split_at(written).0);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Writes the pack of a closure to a file.
pub(super) fn write(
    file: File,
    objects: &Objects,
    closure: &Closure,
    bounds: &Bounds<'_>,
) -> Result<Written> {
    let hash = ObjectHash::of_file(objects.format())?;
    let (places, numbers) = places(objects, closure, bounds)?;
    let count = u32::try_from(places.len()).map_err(|_| too_large(bounds))?;
    let inner = Hashing {
        inner: BufWriter::new(file),
        hash: hash.clone(),
    };
    let mut out = Out {
        inner,
        position: 0,
        crc: crc32fast::Hasher::new(),
    };
    let header = [
        b"PACK".as_slice(),
        &2_u32.to_be_bytes(),
        &count.to_be_bytes(),
    ]
    .concat();
    out.write_all(&header).map_err(unwritten)?;
    let mut packing = Packing {
        objects,
        closure,
        offsets: Vec::with_capacity(places.len()),
        places,
        numbers,
        out,
    };
    let mut entries = packing.all(bounds)?;
    entries.sort_by_key(|entry| entry.id);
    let Hashing {
        mut inner,
        hash: sum,
    } = packing.out.inner;
    let checksum = sum.finish();
    let written = inner.write_all(checksum.as_bytes());
    written.and_then(|()| finish(inner)).map_err(unwritten)?;
    Ok(Written {
        checksum,
        entries,
        hash,
    })
}

/// Where the objects of a closure are, in the order in which they are copied.
fn places(
    objects: &Objects,
    closure: &Closure,
    bounds: &Bounds<'_>,
) -> Result<(Vec<Place>, Numbers)> {
    let (mut places, mut packs) = (Vec::new(), HashMap::new());
    // Of several copies the one in the pack of the last object is found first.
    let mut ids: Vec<_> = closure.kinds.keys().collect();
    ids.sort_unstable();
    for (at, id) in ids.into_iter().enumerate() {
        if at.is_multiple_of(STEP) {
            go_on(closure, bounds)?;
        }
        places.push(objects.locate(id, |location| match location {
            Location::Packed(pack, offset) => {
                let number = pack.id();
                packs
                    .entry(number)
                    .or_insert_with(|| pack.path().to_owned());
                Ok((Some(number), offset, *id))
            }
            Location::Loose(_) => Ok((None, 0, *id)),
        })?);
    }
    let mut by_name: Vec<(PathBuf, u32)> = packs.into_iter().map(|(id, path)| (path, id)).collect();
    by_name.sort_by(|(one, _), (other, _)| (one.file_name(), one).cmp(&(other.file_name(), other)));
    let numbers: Numbers = by_name.into_iter().map(|(_, id)| id).zip(1..).collect();
    let place = |(pack, offset, id): (Option<u32>, u64, ObjectId)| Place {
        pack: pack.map_or(0, |pack| {
            *numbers.get(&pack).expect("each was given a number")
        }),
        offset,
        id,
    };
    let mut places: Vec<_> = places.into_iter().map(place).collect();
    places.sort();
    Ok((places, numbers))
}

/// Whether the closure may go on: it holds what it held when it was found.
fn go_on(closure: &Closure, bounds: &Bounds<'_>) -> Result<()> {
    (bounds.memory)(closure.bytes())
}

impl Packing<'_> {
    fn all(&mut self, bounds: &Bounds<'_>) -> Result<Vec<Indexed>> {
        let mut entries = Vec::with_capacity(self.places.len());
        for at in 0..self.places.len() {
            if at.is_multiple_of(STEP) {
                go_on(self.closure, bounds)?;
            }
            let offset = self.out.position;
            self.out.crc = crc32fast::Hasher::new();
            let id = self.one(at, bounds)?;
            self.offsets.push(offset);
            let crc = self.out.crc.clone().finalize();
            entries.push(Indexed { id, crc, offset });
            if self.out.position > bounds.pack {
                return Err(too_large(bounds));
            }
        }
        Ok(entries)
    }

    fn one(&mut self, at: usize, bounds: &Bounds<'_>) -> Result<ObjectId> {
        let place = *self.places.get(at).expect("it is one of the places");
        let position = self.out.position;
        let copied = self.objects.locate(&place.id, |location| match location {
            Location::Packed(pack, offset)
                if self.numbers.get(&pack.id()) == Some(&place.pack) && offset == place.offset =>
            {
                self.copied(pack, (offset, place.pack), position)
            }
            // It was moved meanwhile, or lies in a file of its own.
            Location::Packed(..) | Location::Loose(_) => Ok(None),
        })?;
        match copied {
            Some(copied) if copied.length <= bounds.pack => self.copy(&copied)?,
            Some(_) => return Err(too_large(bounds)),
            None => self.whole(&place.id, bounds)?,
        }
        Ok(place.id)
    }

    /// How the entry at an offset of a pack is copied to `position`; `None` if it is a
    /// delta whose base is not copied from there.
    fn copied(
        &self,
        pack: Arc<Pack>,
        (offset, number): (u64, u32),
        position: u64,
    ) -> Result<Option<Copied>> {
        let (entry, base) = pack.entry_and_base(offset)?;
        let header = match base {
            None => entry.header,
            Some(base) => {
                let key = |place: &Place| (place.pack, place.offset);
                let found = self.places.binary_search_by_key(&(number, base), key);
                let Ok(found) = found else { return Ok(None) };
                match self.offsets.get(found) {
                    Some(written) => Header::OfsDelta {
                        base_distance: position.saturating_sub(*written),
                    },
                    None => Header::RefDelta {
                        base_id: self.places.get(found).expect("it was found").id,
                    },
                }
            }
        };
        let length = pack.compressed_length(&entry)?;
        Ok(Some(Copied {
            pack,
            entry,
            header,
            length,
        }))
    }

    fn copy(&mut self, copied: &Copied) -> Result<()> {
        let Copied {
            pack,
            entry,
            header,
            length,
        } = copied;
        let written = header.write_to(entry.decompressed_size, &mut self.out);
        written.map_err(unwritten)?;
        let data = pack.compressed_data(entry, *length)?;
        self.out.write_all(data).map_err(unwritten)?;
        // What is gone from the disk reads as zeroes.
        pack.check()
    }

    /// Writes an object without a delta.
    fn whole(&mut self, id: &ObjectId, bounds: &Bounds<'_>) -> Result<()> {
        let kind = self.closure.kinds.get(id).expect("it is of the closure");
        let out = &mut self.out;
        if *kind != ObjectKind::Blob {
            return self.objects.decode(id, *kind, |bytes| {
                let header = match kind {
                    ObjectKind::Commit => Header::Commit,
                    ObjectKind::Tree => Header::Tree,
                    ObjectKind::Tag => Header::Tag,
                    ObjectKind::Blob => Header::Blob,
                };
                let written = header.write_to(to_u64(bytes.len()), out);
                written.map_err(unwritten)?;
                let mut deflate = deflate::Write::new(out, Compression::DEFAULT);
                let written = deflate.write_all(bytes).and_then(|()| deflate.flush());
                written.map_err(unwritten)
            });
        }
        let size = self.objects.blob_size(id)?;
        let blob = self.objects.blob_uncached(id, size)?;
        Header::Blob.write_to(size, out).map_err(unwritten)?;
        let mut deflate = deflate::Write::new(out, Compression::DEFAULT);
        let (mut at, mut piece) = (0, Vec::new());
        while at < size {
            go_on(self.closure, bounds)?;
            let length = PIECE.min(size.saturating_sub(at));
            piece.resize(to_usize(length), 0);
            blob.read_at(at, &mut piece)?;
            deflate.write_all(&piece).map_err(unwritten)?;
            at = at.saturating_add(length);
        }
        deflate.flush().map_err(unwritten)
    }
}

fn too_large(bounds: &Bounds<'_>) -> Error {
    let limit = bounds.pack;
    let text = format!(
        "what can be reached from the commit takes more than {limit} bytes in a pack: ask for \
         history=none, or start the server with a greater --reachable"
    );
    Error::new(Kind::Unsupported, text)
}

fn unwritten(error: io::Error) -> Error {
    let text = format!("cannot write the pack of what can be reached: {error}");
    Error::with_source(Kind::Io, text, error)
}
