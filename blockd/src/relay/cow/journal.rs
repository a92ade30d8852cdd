//! The file `map`: a header that names the disk, and records of what was
//! changed, which are only appended.
//!
//! ```text
//! header   magic, format, block size, disk size, length of the name, checksum
//! name     the canonical name
//! record   checksum, kind, first block, blocks      (one after the other)
//! ```
//! A record is written only after the data of its blocks is on storage. A torn
//! record at the end fails its checksum and is cut off: its blocks were never
//! reported as flushed.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
};

use anyhow::{Context, Result, bail};
use tracing::info;
use zerocopy::{
    FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned,
    little_endian::{U32, U64},
};

use super::{
    map::Map,
    record::{BLOCK, Kind, Record},
};
use crate::relay::buffer::{length_of, part_length, position};

const MAGIC: [u8; 8] = *b"blockdCW";
const FORMAT: u32 = 1;
/// Bytes of the longest name that is read; NBD has no longer ones.
const MAX_NAME: u32 = 64 << 10;

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

/// Bytes of a [`RawRecord`].
const RECORD_SIZE: u64 = 24;

impl RawRecord {
    /// The record as it stands at this place of the file.
    fn encode(record: Record, place: u64) -> Self {
        let kind = match record.kind {
            Kind::Data => 1,
            Kind::Zero => 2,
        };
        let mut raw = Self {
            checksum: 0.into(),
            kind: kind.into(),
            start: record.start.into(),
            count: record.count.into(),
        };
        raw.checksum = raw.sum(place).into();
        raw
    }

    /// `None` when the record is torn, or was written at another place.
    fn decode(&self, place: u64) -> Option<Record> {
        let kind = match self.kind.get() {
            1 => Kind::Data,
            2 => Kind::Zero,
            _ => return None,
        };
        (self.checksum.get() == self.sum(place)).then(|| Record {
            kind,
            start: self.start.get(),
            count: self.count.get(),
        })
    }

    fn sum(&self, place: u64) -> u32 {
        let sum = crc32c::crc32c(&place.to_le_bytes());
        crc32c::crc32c_append(sum, &self.as_bytes()[size_of::<U32>()..])
    }
}

/// The open file.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    /// Where the next record goes.
    end: u64,
    records: u64,
}

/// The disk that a journal belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DiskId {
    /// The canonical name of the export.
    pub(super) name: String,
    /// Bytes of the disk.
    pub(super) size: u64,
}

impl Journal {
    /// Writes a header and records to an empty file.
    ///
    /// # Errors
    ///
    /// Those of the file; the name is longer than a header can say.
    pub(super) fn create(file: File, disk: &DiskId, records: &[Record]) -> io::Result<Self> {
        let name = disk.name.as_bytes();
        let name_length = u32::try_from(name.len()).ok();
        let name_length = name_length.filter(|length| *length <= MAX_NAME);
        let name_length = name_length.ok_or(io::ErrorKind::InvalidFilename)?;
        let mut header = Header {
            magic: MAGIC,
            format: FORMAT.into(),
            block: part_length(BLOCK).into(),
            size: disk.size.into(),
            name_length: name_length.into(),
            checksum: 0.into(),
        };
        header.checksum = sum(&header, name).into();
        let head = [header.as_bytes(), name].concat();
        file.write_all_at(&head, 0)?;
        let mut journal = Self {
            file,
            end: length_of(&head),
            records: 0,
        };
        journal.append(records)?;
        Ok(journal)
    }

    /// Reads the header; the records follow.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is no journal, or is damaged.
    pub(super) fn read_header(file: &mut File) -> Result<DiskId> {
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
        let length = header.name_length.get();
        if length > MAX_NAME {
            bail!("its header is damaged");
        }
        let mut name = vec![0; position(length.into())];
        file.read_exact(&mut name)
            .context("its header is cut off")?;
        if header.checksum.get() != sum(&header, &name) {
            bail!("its header is damaged");
        }
        Ok(DiskId {
            name: String::from_utf8(name).context("its header is damaged")?,
            size: header.size.get(),
        })
    }

    /// Applies the records behind the header to a map, up to the first that is
    /// torn, and cuts the rest off.
    pub(super) fn replay(mut file: File, map: &mut Map) -> io::Result<Self> {
        let mut end = file.stream_position()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut rest = bytes.as_slice();
        let mut records = 0;
        while let Ok((raw, after)) = RawRecord::read_from_prefix(rest) {
            let record = raw.decode(end);
            if !record.is_some_and(|record| map.apply(record)) {
                break;
            }
            rest = after;
            end += RECORD_SIZE;
            records += 1;
        }
        if !rest.is_empty() {
            info!(
                bytes = rest.len(),
                "the end of the map of changed blocks was torn, and is cut off"
            );
            file.set_len(end)?;
        }
        Ok(Self { file, end, records })
    }

    /// Appends records and syncs the file. When it cannot be written, it is cut
    /// to what it was.
    pub(super) fn append(&mut self, records: &[Record]) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut place = self.end;
        for record in records {
            bytes.extend_from_slice(RawRecord::encode(*record, place).as_bytes());
            place += RECORD_SIZE;
        }
        if let Err(error) = self.file.write_all_at(&bytes, self.end) {
            self.file.set_len(self.end)?;
            return Err(error);
        }
        self.file.sync_data()?;
        self.end = place;
        self.records += count(records);
        Ok(())
    }

    /// Whether the file still has this path, and no other file has replaced it.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        let id = |metadata: Metadata| (metadata.dev(), metadata.ino());
        let (ours, there) = (self.file.metadata().map(id), fs::metadata(path).map(id));
        matches!((ours, there), (Ok(ours), Ok(there)) if ours == there)
    }

    /// How many records the file has.
    pub(super) fn records(&self) -> u64 {
        self.records
    }
}

fn sum(header: &Header, name: &[u8]) -> u32 {
    let fields = header.as_bytes();
    let fields = &fields[..fields.len() - size_of::<U32>()];
    crc32c::crc32c_append(crc32c::crc32c(fields), name)
}

/// How many records there are.
pub(super) fn count(records: &[Record]) -> u64 {
    u64::try_from(records.len()).expect("a usize has at most 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(path: &Path, name: &str) -> io::Result<Journal> {
        let disk = DiskId {
            name: name.to_owned(),
            size: BLOCK,
        };
        Journal::create(File::create(path).unwrap(), &disk, &[])
    }

    #[test]
    fn a_journal_knows_that_another_has_replaced_it() {
        let folder = tempfile::tempdir().unwrap();
        let (path, new) = (folder.path().join("map"), folder.path().join("map.new"));
        let journal = create(&path, "disk").unwrap();
        let renewed = create(&new, "disk").unwrap();
        assert!(journal.is_at(&path) && !renewed.is_at(&path));
        fs::rename(&new, &path).unwrap();
        assert!(!journal.is_at(&path) && renewed.is_at(&path));
        fs::remove_file(&path).unwrap();
        assert!(!renewed.is_at(&path));
    }

    #[test]
    fn a_name_that_could_not_be_read_back_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map");
        let longest = "n".repeat(position(MAX_NAME.into()));
        create(&path, &longest).unwrap();
        let read = Journal::read_header(&mut File::open(&path).unwrap());
        assert_eq!(read.unwrap().name, longest);
        let error = create(&path, &(longest + "n")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidFilename);
    }
}
