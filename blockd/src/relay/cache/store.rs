//! The cache's file: sparse, every byte at the offset it has on the disk. The
//! file has no name, so that it is removed with the process, however that ends;
//! and since nobody reads it after that, it is never synced.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IoSliceMut},
    ops::Range,
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::Path,
    sync::{Mutex, MutexGuard},
};

use rustix::{
    fs::{Mode, OFlags, fstatvfs, open},
    io::{Errno, ReadWriteFlags, preadv2},
};

use tracing::warn;

use super::ranges::Ranges;
use crate::relay::buffer::{length_of, position};

/// Bytes that are checked for zeroes as a whole.
const PIECE: usize = 64 << 10;
/// The name that the file has until it is open, where file systems have no
/// files without a name.
pub(crate) const NAME: &str = "cache";

/// The cached part of a disk.
#[derive(Debug)]
pub(super) struct Store {
    file: File,
    size: u64,
    /// Only whole blocks of this size are cached.
    unit: u64,
    /// Where the disk holds data, in whole units.
    data: Vec<Range<u64>>,
    /// Bytes of these.
    of: u64,
    /// What is cached, and what is known to be zeroes.
    present: Mutex<Ranges>,
}

/// The whole units around ranges that are in order; the last is cut where the
/// disk ends.
pub(super) fn whole_units(data: &[Range<u64>], unit: u64, size: u64) -> Vec<Range<u64>> {
    let mut whole: Vec<Range<u64>> = Vec::new();
    for run in data {
        let start = (run.start / unit * unit).min(size);
        // A multiple that is no u64 lies beyond the end, too.
        let end = run.end.checked_next_multiple_of(unit);
        let end = end.map_or(size, |end| end.min(size));
        match whole.last_mut() {
            Some(last) if last.end >= start => last.end = last.end.max(end),
            _ => whole.push(start..end),
        }
    }
    whole
}

/// Bytes of disjoint ranges.
pub(super) fn sum(data: &[Range<u64>]) -> u64 {
    data.iter().map(|run| run.end - run.start).sum()
}

/// A file without a name, and the bytes that its file system has room for.
pub(super) fn create(folder: &Path) -> io::Result<(File, u64)> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = match open(folder, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => File::from(file),
        // Not every file system has files without a name.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => create_and_unlink(folder)?,
        Err(error) => return Err(error.into()),
    };
    let system = fstatvfs(&file)?;
    // A network file system may claim more than a u64 of bytes.
    Ok((file, system.f_bavail.saturating_mul(system.f_frsize)))
}

fn create_and_unlink(folder: &Path) -> io::Result<File> {
    let path = folder.join(NAME);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        // A relay that was killed between the two steps has left it.
        Ok(()) | Err(_) => {}
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    let file = options.open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

impl Store {
    /// A store in which nothing is cached but the zeroes around `data`.
    pub(super) fn new(file: File, size: u64, unit: u64, data: Vec<Range<u64>>) -> io::Result<Self> {
        file.set_len(size)?;
        let mut present = Ranges::default();
        let mut at = 0;
        for run in &data {
            present.insert(at..run.start);
            at = run.end;
        }
        present.insert(at..size);
        Ok(Self {
            file,
            size,
            unit,
            of: sum(&data),
            data,
            present: Mutex::new(present),
        })
    }

    fn present(&self) -> MutexGuard<'_, Ranges> {
        self.present.lock().expect("no holder of this lock panics")
    }

    /// A range in parts that are cached (`true`), and parts that are not.
    pub(super) fn split(&self, range: Range<u64>) -> Vec<(bool, Range<u64>)> {
        self.present().split(range)
    }

    /// Whether all of a range is cached.
    pub(super) fn holds(&self, range: Range<u64>) -> bool {
        self.split(range).iter().all(|(is_cached, _)| *is_cached)
    }

    /// Cached ranges begin and end at a multiple of this, or where the disk
    /// ends.
    pub(super) fn unit(&self) -> u64 {
        self.unit
    }

    /// Where the disk holds data.
    pub(super) fn data(&self) -> &[Range<u64>] {
        &self.data
    }

    /// Bytes of data that are cached, and bytes of data on the disk.
    pub(super) fn hydrated(&self) -> (u64, u64) {
        // These are present from the start.
        let zeroes = self.size - self.of;
        (self.present().total() - zeroes, self.of)
    }

    /// Bytes that the file takes on its file system; 0 when the file system
    /// does not say.
    pub(super) fn stored(&self) -> u64 {
        match self.file.metadata() {
            Ok(metadata) => metadata.blocks() * 512,
            Err(error) => {
                warn!("the size of the cache is not known: {error}");
                0
            }
        }
    }

    /// Reads a cached range, if that does not wait for the local disk; returns
    /// whether it was read.
    pub(super) fn try_read(&self, offset: u64, buffer: &mut [u8]) -> bool {
        let length = buffer.len();
        let mut buffers = [IoSliceMut::new(buffer)];
        let read = preadv2(&self.file, &mut buffers, offset, ReadWriteFlags::NOWAIT);
        read == Ok(length)
    }

    /// Reads a cached range.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    /// Stores the whole units of what was read; zeroes take no room.
    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = match offset + length_of(bytes) {
            end if end == self.size => end,
            end => end / self.unit * self.unit,
        };
        let first = offset.next_multiple_of(self.unit);
        if first >= end {
            return Ok(());
        }
        for (is_cached, part) in self.split(first..end) {
            if !is_cached {
                let absent = &bytes[position(part.start - offset)..position(part.end - offset)];
                self.write_data(part.start, absent)?;
            }
        }
        self.present().insert(first..end);
        Ok(())
    }

    /// Writes the pieces that are more than zeroes.
    fn write_data(&self, mut offset: u64, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(PIECE) {
            if piece.iter().any(|byte| *byte != 0) {
                self.file.write_all_at(piece, offset)?;
            }
            offset += length_of(piece);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::slice;

    use super::*;

    const SIZE: u64 = 1_000_000;

    fn store(data: &[Range<u64>]) -> Store {
        let folder = tempfile::tempdir().unwrap();
        let (file, room) = create(folder.path()).unwrap();
        assert!(room > 0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        Store::new(file, SIZE, 4096, whole_units(data, 4096, SIZE)).unwrap()
    }

    #[test]
    fn zeroes_are_cached_from_the_start_and_whole_blocks_of_what_is_written() {
        let store = store(&[100..5000, 9000..9001, 999_000..1_000_000]);
        assert_eq!(store.data(), [0..12_288, 995_328..1_000_000]);
        assert_eq!(store.hydrated(), (0, 12_288 + 4672));
        assert_eq!(store.split(12_288..900_000), [(true, 12_288..900_000)]);

        store.write(4000, &[7; 5000]).unwrap();
        assert_eq!(
            store.split(0..12_288),
            [(false, 0..4096), (true, 4096..8192), (false, 8192..12_288)]
        );
        store.write(995_328, &[9; 4672]).unwrap();
        assert_eq!(store.hydrated(), (4096 + 4672, 12_288 + 4672));
        let mut bytes = [1; 4672];
        store.read(995_328, &mut bytes).unwrap();
        assert_eq!(bytes, [9; 4672]);
        let mut bytes = [1; 4096];
        store.read(500_000, &mut bytes).unwrap();
        assert_eq!(bytes, [0; 4096]);
    }

    #[test]
    fn cached_blocks_are_not_written_again_and_zeroes_take_no_room() {
        let store = store(slice::from_ref(&(0..SIZE)));
        store.write(0, &vec![0; 600_000]).unwrap();
        assert_eq!(store.stored(), 0);
        assert_eq!(store.hydrated(), (146 * 4096, SIZE));
        store.write(0, &[5; 8192]).unwrap();
        let mut bytes = [1; 4096];
        store.read(0, &mut bytes).unwrap();
        assert_eq!(bytes, [0; 4096]);
    }

    #[test]
    fn a_file_that_had_a_name_is_unlinked() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(NAME), "of a relay that was killed").unwrap();
        let file = create_and_unlink(folder.path()).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
