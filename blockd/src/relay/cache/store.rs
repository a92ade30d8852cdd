//! The cache's file: sparse, every byte at the offset it has on the disk. It
//! has no name, so that nothing is left of it after any end; and nobody reads
//! it after that, so that nothing in it needs to be on storage.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IoSliceMut},
    ops::Range,
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rustix::{
    fs::{Mode, OFlags, fstatvfs, open},
    io::{Errno, ReadWriteFlags, preadv2},
};

use super::ranges::Ranges;

/// What is looked at for zeroes as a whole.
const PIECE: usize = 64 << 10;
/// The name that the file has for a moment, where it cannot be without.
pub(crate) const NAME: &str = "cache";

/// What is here of a disk.
#[derive(Debug)]
pub(super) struct Store {
    file: File,
    size: u64,
    /// Only whole blocks of this size are here.
    unit: u64,
    /// Where the disk holds data, in whole units.
    data: Vec<Range<u64>>,
    /// Bytes of these.
    of: u64,
    /// What can be read here; also what is known to be zeroes.
    present: Mutex<Ranges>,
}

/// The whole units around ranges that are in order, the last cut where the
/// disk ends.
pub(super) fn whole_units(data: &[Range<u64>], unit: u64, size: u64) -> Vec<Range<u64>> {
    let mut whole: Vec<Range<u64>> = Vec::new();
    for run in data {
        let (start, end) = (
            run.start / unit * unit,
            run.end.checked_next_multiple_of(unit),
        );
        let (start, end) = (start.min(size), end.unwrap_or(size).min(size));
        match whole.last_mut() {
            Some(last) if last.end >= start => last.end = last.end.max(end),
            _ => whole.push(start..end),
        }
    }
    whole
}

pub(super) fn sum(data: &[Range<u64>]) -> u64 {
    data.iter().map(|run| run.end - run.start).sum()
}

/// A file without a name, and what the file system has room for.
pub(super) fn create(folder: &Path) -> io::Result<(File, u64)> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = match open(folder, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => File::from(file),
        // Not every file system has files without a name.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => named_for_a_moment(folder)?,
        Err(error) => return Err(error.into()),
    };
    let system = fstatvfs(&file)?;
    Ok((file, system.f_bavail.saturating_mul(system.f_frsize)))
}

fn named_for_a_moment(folder: &Path) -> io::Result<File> {
    let path = folder.join(NAME);
    let _left_by_a_kill = fs::remove_file(&path);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600);
    let file = options.open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

impl Store {
    /// Nothing but the zeroes around `data` is here yet.
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

    /// Nothing panics while it holds this lock, so it cannot be poisoned.
    fn present(&self) -> MutexGuard<'_, Ranges> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A range in parts that are here, and parts that are not.
    pub(super) fn split(&self, range: Range<u64>) -> Vec<(bool, Range<u64>)> {
        self.present().split(range)
    }

    /// Whether all of a range is here.
    pub(super) fn holds(&self, range: Range<u64>) -> bool {
        self.split(range).iter().all(|(is_here, _)| *is_here)
    }

    /// What is here begins and ends at a multiple of this.
    pub(super) fn unit(&self) -> u64 {
        self.unit
    }

    /// Where the disk holds data.
    pub(super) fn data(&self) -> &[Range<u64>] {
        &self.data
    }

    /// Bytes of data that are here, and of how many.
    pub(super) fn hydrated(&self) -> (u64, u64) {
        let zeroes = self.size - self.of;
        (self.present().total().saturating_sub(zeroes), self.of)
    }

    /// Bytes that the file takes.
    pub(super) fn stored(&self) -> u64 {
        let metadata = self.file.metadata();
        metadata.map_or(0, |metadata| metadata.blocks() * 512)
    }

    /// Reads a range that is here if that waits for no disk; says whether.
    pub(super) fn read_now(&self, offset: u64, buffer: &mut [u8]) -> bool {
        let length = buffer.len();
        let mut buffers = [IoSliceMut::new(buffer)];
        let read = preadv2(&self.file, &mut buffers, offset, ReadWriteFlags::NOWAIT);
        read == Ok(length)
    }

    /// Reads what is here.
    pub(super) fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    /// Stores the whole units of what was read; zeroes need no room.
    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let length = u64::try_from(bytes.len()).unwrap_or(0);
        let end = match offset + length {
            end if end == self.size => end,
            end => end / self.unit * self.unit,
        };
        let first = offset.next_multiple_of(self.unit);
        if first >= end {
            return Ok(());
        }
        for (is_here, part) in self.split(first..end) {
            let index = |at: u64| usize::try_from(at - offset).unwrap_or(usize::MAX);
            let wanted = bytes.get(index(part.start)..index(part.end));
            if let (false, Some(wanted)) = (is_here, wanted) {
                self.write_stored(part.start, wanted)?;
            }
        }
        self.present().insert(first..end);
        Ok(())
    }

    /// The pieces that are more than zeroes.
    fn write_stored(&self, mut offset: u64, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(PIECE) {
            if piece.iter().any(|byte| *byte != 0) {
                self.file.write_all_at(piece, offset)?;
            }
            offset += u64::try_from(piece.len()).unwrap_or(0);
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
    fn zeroes_are_here_from_the_start_and_whole_blocks_of_what_is_written() {
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
    fn what_is_here_is_not_written_again_and_zeroes_take_no_room() {
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
    fn a_file_that_had_a_name_has_lost_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(NAME), "of a relay that was killed").unwrap();
        let file = named_for_a_moment(folder.path()).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
