//! The file `map`: a header that names the disk, and records of what was
//! changed, only ever appended.
//!
//! ```text
//! header   magic, format, block size, disk size, length of the name, checksum
//! name     the canonical name
//! record   checksum, kind, first block, blocks      (one after the other)
//! ```
//! A record is written only when the data it speaks of is on storage. A tail
//! that was torn fails its checksum, and is cut off: what it spoke of was
//! never promised.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::FileExt,
};

use anyhow::{Context, Result, bail};
use zerocopy::{
    FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U32, U64},
};

use super::map::{BLOCK, Map};

const MAGIC: [u8; 8] = *b"blockdCW";
const FORMAT: u32 = 1;
/// Longer names are none of ours.
const LONGEST_NAME: u32 = 64 << 10;

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    magic: [u8; 8],
    format: U32,
    block: U32,
    size: U64,
    name_length: U32,
    /// Of the fields before it and the name.
    checksum: U32,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawRecord {
    /// Of the fields below and the record's place in the file.
    checksum: U32,
    kind: U32,
    start: U64,
    count: U64,
}

const RECORD: u64 = 24;

/// What became of some blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// They lie in our file.
    Data,
    /// They read as zeroes.
    Zero,
}

/// A range of blocks that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) kind: Kind,
    pub(super) start: u64,
    pub(super) count: u64,
}

impl Record {
    fn encode(self, place: u64) -> RawRecord {
        let kind = match self.kind {
            Kind::Data => 1,
            Kind::Zero => 2,
        };
        let mut raw = RawRecord {
            checksum: 0.into(),
            kind: kind.into(),
            start: self.start.into(),
            count: self.count.into(),
        };
        raw.checksum = raw.sum(place).into();
        raw
    }

    fn decode(raw: &RawRecord, place: u64) -> Option<Self> {
        let kind = match raw.kind.get() {
            1 => Kind::Data,
            2 => Kind::Zero,
            _ => return None,
        };
        (raw.checksum.get() == raw.sum(place)).then(|| Self {
            kind,
            start: raw.start.get(),
            count: raw.count.get(),
        })
    }
}

impl RawRecord {
    fn sum(&self, place: u64) -> u32 {
        let sum = crc32c::crc32c(&place.to_le_bytes());
        crc32c::crc32c_append(sum, self.as_bytes().get(4..).unwrap_or_default())
    }
}

/// The open file.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    end: u64,
    records: u64,
}

/// Which disk a journal is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct About {
    pub(super) name: String,
    pub(super) size: u64,
}

impl Journal {
    /// A new file with these records.
    pub(super) fn create(file: File, about: &About, records: &[Record]) -> io::Result<Self> {
        let name = about.name.as_bytes();
        let mut header = Header {
            magic: MAGIC,
            format: FORMAT.into(),
            block: u32::try_from(BLOCK).unwrap_or(0).into(),
            size: about.size.into(),
            name_length: u32::try_from(name.len()).unwrap_or(u32::MAX).into(),
            checksum: 0.into(),
        };
        header.checksum = sum(&header, name).into();
        let head = [header.as_bytes(), name].concat();
        file.write_all_at(&head, 0)?;
        let mut journal = Self {
            file,
            end: u64::try_from(head.len()).unwrap_or(u64::MAX),
            records: 0,
        };
        journal.append(records)?;
        Ok(journal)
    }

    /// Which disk a file is about; its records follow.
    pub(super) fn about(file: &mut File) -> Result<About> {
        let mut header = Header::new_zeroed();
        file.seek(SeekFrom::Start(0))?;
        file.read_exact(header.as_mut_bytes())
            .context("its header is cut off")?;
        if header.magic != MAGIC {
            bail!("it is no map of changed blocks");
        }
        if (header.format.get(), u64::from(header.block.get())) != (FORMAT, BLOCK) {
            bail!("it was written by another version of blockd");
        }
        let length = header.name_length.get().min(LONGEST_NAME);
        let mut name = vec![0; usize::try_from(length)?];
        file.read_exact(&mut name)
            .context("its header is cut off")?;
        if header.checksum.get() != sum(&header, &name) {
            bail!("its header is damaged");
        }
        Ok(About {
            name: String::from_utf8(name).context("its header is damaged")?,
            size: header.size.get(),
        })
    }

    /// Reads the records behind the header into a map, up to the first that is
    /// not whole, and cuts the rest off.
    pub(super) fn replay(mut file: File, map: &mut Map) -> io::Result<Self> {
        let mut end = file.stream_position()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut rest = bytes.as_slice();
        let mut records = 0;
        while let Ok((raw, after)) = RawRecord::read_from_prefix(rest) {
            match Record::decode(&raw, end) {
                Some(record) if map.apply(record) => {}
                _ => break,
            }
            rest = after;
            end += RECORD;
            records += 1;
        }
        if !rest.is_empty() {
            file.set_len(end)?;
        }
        Ok(Self { file, end, records })
    }

    /// Appends records and brings them to storage; on failure the file is what
    /// it was.
    pub(super) fn append(&mut self, records: &[Record]) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut place = self.end;
        for record in records {
            bytes.extend_from_slice(record.encode(place).as_bytes());
            place += RECORD;
        }
        if let Err(error) = self.file.write_all_at(&bytes, self.end) {
            self.file.set_len(self.end)?;
            return Err(error);
        }
        self.file.sync_data()?;
        self.end = place;
        self.records += u64::try_from(records.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    pub(super) fn records(&self) -> u64 {
        self.records
    }
}

fn sum(header: &Header, name: &[u8]) -> u32 {
    let fields = header.as_bytes();
    let fields = fields.get(..fields.len() - 4).unwrap_or_default();
    crc32c::crc32c_append(crc32c::crc32c(fields), name)
}
