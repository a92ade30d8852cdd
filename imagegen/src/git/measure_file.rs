//! The file in which a server remembers what conversions make of blobs.
//!
//! A header, then records, appended as files are measured. It is a cache: what
//! a crash cuts off or damages is ignored, since every record has a checksum,
//! and the file is then written anew. A record that is wrong all the same gives
//! no wrong byte: content is compared with its planned length when it is made.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Mutex,
};

use gix::ObjectId;
use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    byteorder::little_endian::{U32, U64},
};

use super::{
    filter::{Measured, library_version},
    sync::lock,
};
use crate::{
    error::{Error, Kind, Result},
    numbers::to_u64,
};

const MAGIC: [u8; 16] = *b"converted sizes\n";
/// Incremented when the format changes, or what a conversion makes of a blob.
const VERSION: u32 = 1;

/// The start of the file.
#[derive(
    Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned, PartialEq,
)]
#[repr(C)]
struct Header {
    magic: [u8; 16],
    version: U32,
    /// The version of the C library, whose iconv encodes files.
    library: [u8; 12],
}

/// What a conversion makes of a blob.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Record {
    /// [`Conversion::key`](super::Conversion::key).
    key: [u8; 20],
    size: U64,
    /// [`CHANGED`] and [`ENCODED`].
    flags: U32,
    /// The CRC32C of the fields before.
    checksum: U32,
}

const CHANGED: u32 = 1;
const ENCODED: u32 = 2;
const RECORD: usize = size_of::<Record>();

/// A key and what was measured.
pub(super) type Entry = (ObjectId, Measured);

/// The file.
#[derive(Debug)]
pub(super) struct MeasureFile {
    path: PathBuf,
    /// The most records that the file has.
    limit: u64,
    /// Whether the next write replaces the file.
    damaged: Mutex<bool>,
}

impl Header {
    fn current() -> Self {
        let mut library = [0; 12];
        for (to, from) in library.iter_mut().zip(library_version().bytes()) {
            *to = from;
        }
        Self {
            magic: MAGIC,
            version: VERSION.into(),
            library,
        }
    }

    /// Why a file with this header is not used.
    fn reason(&self) -> Option<String> {
        let current = Self::current();
        if self.magic != MAGIC {
            Some("it is damaged".into())
        } else if self.version != current.version {
            Some(format!("it has version {}, not {VERSION}", self.version))
        } else if self.library != current.library {
            Some(format!(
                "it is of another C library than {}",
                library_version()
            ))
        } else {
            None
        }
    }
}

impl Record {
    fn new((key, measured): &Entry) -> Self {
        let flag = |set, flag| if set { flag } else { 0 };
        let mut bytes = [0; 20];
        bytes.copy_from_slice(key.as_bytes());
        let mut record = Self {
            key: bytes,
            size: measured.size.into(),
            flags: (flag(measured.changed, CHANGED) | flag(measured.encoded, ENCODED)).into(),
            checksum: 0.into(),
        };
        record.checksum = record.sum().into();
        record
    }

    fn sum(&self) -> u32 {
        let (fields, _) = self.as_bytes().split_at(RECORD - size_of::<U32>());
        crc32c::crc32c(fields)
    }

    fn entry(&self) -> Option<Entry> {
        let measured = Measured {
            size: self.size.get(),
            changed: self.flags.get() & CHANGED != 0,
            encoded: self.flags.get() & ENCODED != 0,
        };
        (self.checksum.get() == self.sum()).then_some((ObjectId::Sha1(self.key), measured))
    }
}

impl MeasureFile {
    /// Reads the file at `path`, which need not exist, and hands each of its
    /// records to `each`, the oldest first; with the reason why all or some of
    /// it is ignored.
    pub(super) fn open(path: &Path, limit: u64, each: impl FnMut(Entry)) -> (Self, Option<Error>) {
        let ignored = match read(path, limit, each) {
            Ok(()) => None,
            Err(error) if error.kind() == Kind::NotFound => None,
            Err(error) => Some(error),
        };
        let file = Self {
            path: path.into(),
            limit,
            damaged: Mutex::new(ignored.is_some()),
        };
        (file, ignored)
    }

    /// Appends entries. When the file is new, damaged or full, it is replaced by
    /// one of `all` entries, which has these too.
    ///
    /// # Errors
    ///
    /// [`Kind::Io`] if it cannot be written.
    pub(super) fn append(&self, entries: &[Entry], all: impl FnOnce() -> Vec<Entry>) -> Result<()> {
        let mut damaged = lock(&self.damaged);
        let length = self.path.metadata().map_or(0, |metadata| metadata.len());
        let records = length / to_u64(RECORD) + to_u64(entries.len());
        let renew = *damaged || length == 0 || records > self.limit;
        // Until it is written: a write that fails may leave a part of a record.
        *damaged = true;
        let written = if renew {
            self.replace(&all())
        } else {
            self.extend(&encode(entries))
        };
        written.map_err(|error| Error::io("write", &self.path, error))?;
        *damaged = false;
        Ok(())
    }

    fn extend(&self, records: &[u8]) -> io::Result<()> {
        OpenOptions::new()
            .append(true)
            .open(&self.path)?
            .write_all(records)
    }

    fn replace(&self, entries: &[Entry]) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(Header::current().as_bytes())?;
        file.write_all(&encode(entries))?;
        file.as_file().sync_data()?;
        file.persist(&self.path)?;
        Ok(())
    }
}

fn encode(entries: &[Entry]) -> Vec<u8> {
    let records: Vec<_> = entries.iter().map(Record::new).collect();
    records.as_bytes().to_vec()
}

fn read(path: &Path, limit: u64, mut each: impl FnMut(Entry)) -> Result<()> {
    let ignored = |reason: &str| {
        let message = format!("{} is ignored and written anew: {reason}", path.display());
        Error::new(Kind::Corrupt, message)
    };
    let failed = |error| Error::io("read", path, error);
    let file = File::open(path).map_err(failed)?;
    let most = to_u64(size_of::<Header>()) + limit * to_u64(RECORD);
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).map_err(failed)?;
    let (header, rest) = Header::read_from_prefix(&bytes).map_err(|_| ignored("it is damaged"))?;
    if let Some(reason) = header.reason() {
        return Err(ignored(&reason));
    }
    let (records, torn) = rest.as_chunks::<RECORD>();
    let mut bad = usize::from(!torn.is_empty());
    for record in records {
        let record: Record = zerocopy::transmute!(*record);
        match record.entry() {
            Some(entry) => each(entry),
            None => bad += 1,
        }
    }
    match bad {
        0 => Ok(()),
        bad => Err(ignored(&format!("{bad} of its records are damaged"))),
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test that fails may panic")]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn entry(number: u8) -> Entry {
        let measured = Measured {
            size: u64::from(number) << 40,
            changed: number.is_multiple_of(2),
            encoded: number.is_multiple_of(3),
        };
        (ObjectId::Sha1([number; 20]), measured)
    }

    fn entries(numbers: impl Iterator<Item = u8>) -> Vec<Entry> {
        numbers.map(entry).collect()
    }

    struct Fixture(TempDir);

    impl Fixture {
        /// A file of these entries.
        fn new(numbers: std::ops::Range<u8>) -> Self {
            let fixture = Self(TempDir::new().unwrap());
            let (file, _, ignored) = fixture.open(100);
            assert!(ignored.is_none());
            for entry in entries(numbers) {
                file.append(&[entry], || vec![entry]).unwrap();
            }
            fixture
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("measures")
        }

        fn open(&self, limit: u64) -> (MeasureFile, Vec<Entry>, Option<String>) {
            let mut read = Vec::new();
            let (file, ignored) = MeasureFile::open(&self.path(), limit, |entry| read.push(entry));
            (file, read, ignored.map(|error| error.to_string()))
        }

        fn change(&self, change: impl FnOnce(&mut Vec<u8>)) {
            let mut bytes = fs::read(self.path()).unwrap();
            change(&mut bytes);
            fs::write(self.path(), bytes).unwrap();
        }

        /// Asserts that a file is read so far, said to be ignored because of
        /// this, and whole again after the next write.
        fn recovers(&self, left: &[Entry], reason: &str) {
            let (file, read, ignored) = self.open(100);
            assert_eq!(read, left, "{reason}");
            let ignored = ignored.unwrap_or_default();
            assert!(ignored.contains(reason), "{ignored:?} without {reason:?}");
            assert!(ignored.contains("measures"), "{ignored}");
            let all = [left, &[entry(99)]].concat();
            file.append(&[entry(99)], || all.clone()).unwrap();
            let (_, read, ignored) = self.open(100);
            assert_eq!((read, ignored), (all, None));
        }
    }

    #[test]
    fn entries_are_read_as_written() {
        let fixture = Fixture::new(0..20);
        let (_, read, ignored) = fixture.open(100);
        assert_eq!((read, ignored), (entries(0..20), None));
    }

    #[test]
    fn damage_costs_the_damaged_records_and_is_said() {
        let record = |number: usize| size_of::<Header>() + number * RECORD;
        let fixture = Fixture::new(0..5);
        fixture.change(|bytes| bytes[record(2) + 21] ^= 1);
        let left = [entries(0..2), entries(3..5)].concat();
        fixture.recovers(&left, "1 of its records");
        for cut in 1..RECORD {
            let fixture = Fixture::new(0..5);
            fixture.change(|bytes| bytes.truncate(record(5) - cut));
            fixture.recovers(&entries(0..4), "1 of its records");
        }
        // A crash may leave zeroes.
        let fixture = Fixture::new(0..5);
        fixture.change(|bytes| bytes.resize(record(9) + 7, 0));
        fixture.recovers(&entries(0..5), "5 of its records");
        for length in 1..size_of::<Header>() {
            let fixture = Fixture::new(0..5);
            fixture.change(|bytes| bytes.truncate(length));
            fixture.recovers(&[], "damaged");
        }
    }

    #[test]
    fn another_version_is_ignored() {
        for (at, reason) in [(0, "damaged"), (16, "version 0, not 1"), (20, "C library")] {
            let fixture = Fixture::new(0..5);
            fixture.change(|bytes| bytes[at] ^= 1);
            fixture.recovers(&[], reason);
        }
    }

    #[test]
    fn the_file_is_bounded_and_a_directory_in_its_place_is_an_error() {
        let fixture = Fixture::new(0..10);
        let (file, read, _) = fixture.open(10);
        assert_eq!(read.len(), 10);
        file.append(&[entry(10)], || entries(6..11)).unwrap();
        assert_eq!(fixture.open(10).1, entries(6..11));
        // A smaller server reads what it may have.
        assert_eq!(fixture.open(3).1, entries(6..9));
        fs::remove_file(fixture.path()).unwrap();
        fs::create_dir_all(fixture.path().join("x")).unwrap();
        let (file, _, ignored) = fixture.open(10);
        assert!(ignored.is_some());
        let error = file.append(&[entry(1)], || entries(1..2)).unwrap_err();
        assert_eq!(error.kind(), Kind::Io, "{error}");
    }
}
