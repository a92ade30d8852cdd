//! The index of a pack (git, `Documentation/gitformat-pack.adoc`, "Version 2 pack-*.idx
//! files support packs larger than 4 GiB").

#![warn(clippy::arithmetic_side_effects)]

use std::{
    fs::File,
    io::{self, BufWriter, Write},
};

use gix::ObjectId;

use crate::git::object_hash::{Hashing, ObjectHash};

/// The signature and the version.
const HEADER: [u8; 8] = [0xff, b't', b'O', b'c', 0, 0, 0, 2];
/// An offset from here on is in the table of large ones, whose index it has.
const LARGE: u64 = 1 << 31;

/// An entry of a pack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Indexed {
    pub(super) id: ObjectId,
    /// The CRC-32 of the entry as it is in the pack.
    pub(super) crc: u32,
    pub(super) offset: u64,
}

/// A pack that was written.
#[derive(Debug)]
pub(super) struct Written {
    /// The checksum that it ends with.
    pub(super) checksum: ObjectId,
    /// Sorted by id.
    pub(super) entries: Vec<Indexed>,
    /// A hash that nothing was added to.
    pub(super) hash: ObjectHash,
}

impl Written {
    /// Writes its index.
    pub(super) fn write_index(self, file: File) -> io::Result<()> {
        let Self {
            checksum,
            entries,
            hash,
        } = self;
        let mut out = Hashing {
            inner: BufWriter::new(file),
            hash,
        };
        out.write_all(&HEADER)?;
        for first in 0..=u8::MAX {
            let upto = |entry: &Indexed| entry.id.first_byte() <= first;
            let count = u32::try_from(entries.partition_point(upto));
            out.write_all(&count.map_err(io::Error::other)?.to_be_bytes())?;
        }
        for entry in &entries {
            out.write_all(entry.id.as_bytes())?;
        }
        for entry in &entries {
            out.write_all(&entry.crc.to_be_bytes())?;
        }
        let mut large = Vec::new();
        for entry in &entries {
            let short = u32::try_from(entry.offset).ok();
            let number = if let Some(offset) = short.filter(|_| entry.offset < LARGE) {
                offset
            } else {
                let at = u32::try_from(large.len()).map_err(io::Error::other)?;
                large.push(entry.offset);
                at | (1 << 31)
            };
            out.write_all(&number.to_be_bytes())?;
        }
        for offset in large {
            out.write_all(&offset.to_be_bytes())?;
        }
        out.write_all(checksum.as_bytes())?;
        let Hashing { mut inner, hash } = out;
        inner.write_all(hash.finish().as_bytes())?;
        finish(inner)
    }
}

/// Writes what is left in a buffer to the disk.
pub(super) fn finish(buffer: BufWriter<File>) -> io::Result<()> {
    let file = buffer
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    file.sync_all()
}
