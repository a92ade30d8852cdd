//! The multi-pack-index of a snapshot: that of the repository where it fits, else
//! one that is made, so that git finds an object among thousands of packs (git,
//! `Documentation/gitformat-pack.adoc`, "multi-pack-index (MIDX) files").

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use gix::{ObjectId, hash};
use gix_pack::index;
use tempfile::TempDir;

use crate::{
    error::{Error, Result},
    git::{
        mapping::Mapping,
        object_hash::{Hashing, ObjectHash},
        private,
        store::open_multi_index,
        wall::Wall,
    },
    numbers::to_u64,
};

/// The path in a snapshot.
pub(super) const PATH: &str = "pack/multi-pack-index";

/// With more packs than this outside the repository's own index, one is made.
const MANY_PACKS: usize = 50;

/// The most bytes of pack indexes that are merged; the largest ones are left
/// out. Bounds the time and memory for it: a million objects, 50 MB.
const MERGE_LIMIT: u64 = 32 << 20;

/// The files of a snapshot by path.
type Found = BTreeMap<String, PathBuf>;

/// The multi-pack-index of the directories that fits: all its packs are in the
/// snapshot, from the same directory, and few others.
pub(super) fn existing(
    directories: &[PathBuf],
    found: &Found,
    format: hash::Kind,
    wall: &Wall,
) -> Option<PathBuf> {
    let packs = indexes(found).count();
    let fits = |directory: &PathBuf| {
        let path = directory.join(PATH);
        // Without one, or with one that git cannot read either.
        let (file, _) = open_multi_index(&path, format, wall).ok()?;
        let is_shown = |name: &PathBuf| {
            let source = found.get(&format!("pack/{}", name.display()));
            source.is_some_and(|source| *source == directory.join("pack").join(name))
        };
        let names = file.index_names();
        let fits = names.iter().all(is_shown) && packs - names.len() <= MANY_PACKS;
        fits.then_some((names.len(), path))
    };
    let best = directories.iter().filter_map(fits);
    best.max_by_key(|(packs, _)| *packs).map(|(_, path)| path)
}

/// A multi-pack-index in a temporary directory.
pub(super) struct Made {
    pub(super) path: PathBuf,
    _directory: TempDir,
}

/// Makes a multi-pack-index of the packs in a new directory; `None` if they are
/// few. Equal packs give equal files.
///
/// # Errors
///
/// [`Kind::NotFound`](crate::Kind::NotFound) if a pack was removed meanwhile,
/// [`Kind::Io`](crate::Kind::Io) if a disk fails.
pub(super) fn make(
    found: &Found,
    format: hash::Kind,
    wall: &Wall,
    new_directory: &dyn Fn() -> Result<TempDir>,
) -> Result<Option<Made>> {
    if found.contains_key(PATH) || indexes(found).count() <= MANY_PACKS {
        return Ok(None);
    }
    let mut sized = Vec::new();
    for (name, source) in indexes(found) {
        let metadata = fs::metadata(source).map_err(|error| Error::io("read", source, error))?;
        sized.push((metadata.len(), name, source));
    }
    sized.sort();
    let mut left = MERGE_LIMIT;
    let mut packs = BTreeMap::new();
    for (size, name, source) in sized {
        let Some(rest) = left.checked_sub(size) else {
            break;
        };
        left = rest;
        packs.insert(name, source);
    }
    let merged = merge(&packs, format, wall)?;
    // All are too large, or malformed.
    if merged.names.len() < 2 {
        return Ok(None);
    }
    let directory = new_directory()?;
    let path = directory.path().join("multi-pack-index");
    let failed = |error| Error::io("write", &path, error);
    let file = private::create_new(&path).map_err(failed)?;
    write(&merged, ObjectHash::of_file(format)?, &file).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    Ok(Some(Made {
        path,
        _directory: directory,
    }))
}

/// The indexes in a snapshot: their names, and their paths on disk.
fn indexes(found: &Found) -> impl Iterator<Item = (&str, &Path)> {
    found.iter().filter_map(|(path, source)| {
        let name = path.strip_prefix("pack/")?;
        name.strip_suffix(".idx")?;
        Some((name, source.as_path()))
    })
}

/// An object in one of the packs. Of several copies, the one in the pack with the
/// most objects is the first: then git opens few packs.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    id: ObjectId,
    pack_objects: Reverse<u32>,
    pack: u32,
    offset: u64,
}

/// What a multi-pack-index says.
struct Merged<'a> {
    /// Sorted.
    names: Vec<&'a str>,
    /// Sorted by id, each id once.
    entries: Vec<Entry>,
    format: hash::Kind,
}

/// Merges the indexes. One that is malformed is left out.
fn merge<'a>(
    packs: &BTreeMap<&'a str, &Path>,
    format: hash::Kind,
    wall: &Wall,
) -> Result<Merged<'a>> {
    let (mut names, mut entries) = (Vec::new(), Vec::new());
    for (name, source) in packs {
        let opened = wall.open(source).and_then(|file| Mapping::of(&file));
        let mapping = match opened {
            Ok(mapping) => mapping,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::io("read", source, error));
            }
            Err(_) => continue,
        };
        let Ok(index) = index::File::from_data(mapping.clone(), source.into(), format) else {
            continue;
        };
        let pack = u32::try_from(names.len()).expect("the indexes of so many packs are larger");
        names.push(*name);
        entries.extend(index.iter().map(|entry| Entry {
            id: entry.oid,
            pack_objects: Reverse(index.num_objects()),
            pack,
            offset: entry.pack_offset,
        }));
        let checked = mapping.check();
        checked.map_err(|error| Error::io("read", source, error))?;
    }
    entries.sort_unstable();
    entries.dedup_by_key(|entry| entry.id);
    Ok(Merged {
        names,
        entries,
        format,
    })
}

/// From this offset on, one is stored in the chunk of large offsets, if any needs
/// more than 32 bits.
const LARGE: u64 = 1 << 31;

/// Writes the whole file.
fn write(merged: &Merged<'_>, hash: ObjectHash, file: &File) -> io::Result<()> {
    let Merged { names, entries, .. } = merged;
    let mut out = Hashing {
        inner: BufWriter::new(file),
        hash,
    };
    let mut packs = names.join("\0").into_bytes();
    packs.push(0);
    packs.resize(packs.len().next_multiple_of(4), 0);
    let large = large_offsets(entries);
    merged.header(&mut out, packs.len(), large.len())?;
    out.write_all(&packs)?;
    for first in 0..=u8::MAX {
        let below = entries.partition_point(|entry| entry.id.first_byte() <= first);
        out.write_all(&number(below)?)?;
    }
    for entry in entries {
        out.write_all(entry.id.as_slice())?;
    }
    let mut larges = 0..;
    for entry in entries {
        out.write_all(&entry.pack.to_be_bytes())?;
        let offset = if large.is_empty() || entry.offset < LARGE {
            u32::try_from(entry.offset).map_err(io::Error::other)?
        } else {
            let at: u32 = larges.next().ok_or(io::ErrorKind::InvalidData)?;
            0x8000_0000 | at
        };
        out.write_all(&offset.to_be_bytes())?;
    }
    for offset in large {
        out.write_all(&offset.to_be_bytes())?;
    }
    let Hashing { mut inner, hash } = out;
    inner.write_all(hash.finish().as_slice())?;
    inner.flush()
}

/// The offsets in the chunk of large ones; none if 32 bits are enough for all.
fn large_offsets(entries: &[Entry]) -> Vec<u64> {
    let offsets = || entries.iter().map(|entry| entry.offset);
    if offsets().all(|offset| u32::try_from(offset).is_ok()) {
        return Vec::new();
    }
    offsets().filter(|offset| *offset >= LARGE).collect()
}

impl Merged<'_> {
    /// Writes the header and the table of chunks.
    fn header(&self, out: &mut impl Write, names: usize, large: usize) -> io::Result<()> {
        let objects = to_u64(self.entries.len());
        let mut chunks = vec![
            (*b"PNAM", to_u64(names)),
            (*b"OIDF", 256 * 4),
            (*b"OIDL", objects * to_u64(self.format.len_in_bytes())),
            (*b"OOFF", objects * 8),
        ];
        if large > 0 {
            chunks.push((*b"LOFF", to_u64(large) * 8));
        }
        let count = u8::try_from(chunks.len()).map_err(io::Error::other)?;
        let version = match self.format {
            hash::Kind::Sha256 => 2,
            _ => 1,
        };
        out.write_all(b"MIDX")?;
        out.write_all(&[1, version, count, 0])?;
        out.write_all(&number(self.names.len())?)?;
        let mut offset = 12 + (u64::from(count) + 1) * 12;
        for (id, length) in chunks {
            out.write_all(&id)?;
            out.write_all(&offset.to_be_bytes())?;
            offset += length;
        }
        out.write_all(&[0; 4])?;
        out.write_all(&offset.to_be_bytes())
    }
}

fn number(count: usize) -> io::Result<[u8; 4]> {
    let count = u32::try_from(count).map_err(io::Error::other)?;
    Ok(count.to_be_bytes())
}
