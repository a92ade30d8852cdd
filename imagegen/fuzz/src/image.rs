//! Reading any part of an image, in any order.

use std::cell::OnceCell;
use std::path::Path;

use imagegen::git::{Cache, Repository, SnapshotStore};
use imagegen::image::{Image, Options, Origin};
use tempfile::TempDir;

use super::git::git;

thread_local! {
    static DISKS: OnceCell<Disks> = const { OnceCell::new() };
}

/// A commit with files of many kinds: `git fast-import` reads it.
const COMMIT: &str = include_str!("commit.txt");

/// The same image twice: with a cache for all of it, and with one of 0 bytes.
struct Disks {
    bytes: Vec<u8>,
    images: [Image; 2],
    /// The repository and the state directory.
    _directory: TempDir,
}

/// Eight bytes per read: an offset of five bytes, little endian, a length of
/// two, and a byte of flags. Bit 0 selects the image; bit 1 makes the offset
/// relative to the end of the disk, bit 2 to 2^64 - 1.
pub fn image_read(data: &[u8]) {
    DISKS.with(|disks| {
        let disks = disks.get_or_init(Disks::new);
        for read in data.as_chunks::<8>().0.iter().take(64) {
            let [offset @ .., low, high, flags] = *read;
            let offset = offset
                .iter()
                .rev()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
            let offset = match flags >> 1 & 3 {
                0 => offset % (disks.images[0].size() + 8192),
                1 => disks.images[0].size().wrapping_sub(offset),
                _ => u64::MAX - offset,
            };
            let length = usize::from(u16::from_le_bytes([low, high]));
            disks.check(&disks.images[usize::from(flags & 1)], offset, length);
        }
    });
}

impl Disks {
    fn new() -> Self {
        let directory = TempDir::new().expect("there is room for a directory");
        let path = directory.path();
        git(path, &["init", "-q", "-b", "main", "repo"], b"");
        git(
            &path.join("repo"),
            &["fast-import", "--quiet"],
            COMMIT.as_bytes(),
        );
        let images = [16 << 20, 0].map(|memory| open(path, memory));
        let size = usize::try_from(images[0].size()).expect("it is small");
        assert!(size < 256 << 20, "{size}");
        let mut bytes = vec![0; size];
        images[1]
            .read_at(0, &mut bytes)
            .expect("all of it can be read");
        let (mut at, mut rest) = (0, bytes.as_slice());
        while let Some(run) = images[0].allocated(at) {
            let length = usize::try_from(run.length).expect("it is small");
            let (piece, remaining) = rest.split_at(length);
            assert!(run.allocated || piece.iter().all(|byte| *byte == 0));
            (at, rest) = (at + run.length, remaining);
        }
        assert!(rest.is_empty(), "runs tile the disk");
        Self {
            bytes,
            images,
            _directory: directory,
        }
    }

    /// Compares a read with the same range of the whole image.
    fn check(&self, image: &Image, offset: u64, length: usize) {
        let mut bytes = vec![0xa5; length];
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let expected = self.bytes.get(start..start.saturating_add(length));
        match image.try_read_cached(offset, &mut bytes) {
            Ok(true) => assert_eq!(Some(&*bytes), expected, "{length} at {offset}, cached"),
            Ok(false) => assert!(expected.is_some()),
            Err(error) => assert!(expected.is_none(), "{error}"),
        }
        match image.read_at(offset, &mut bytes) {
            Ok(()) => assert_eq!(Some(&*bytes), expected, "{length} at {offset}"),
            Err(error) => assert!(expected.is_none(), "{error}"),
        }
        assert!(!image.describe(offset).is_empty());
        let Some(run) = image.allocated(offset) else {
            assert!(offset >= image.size());
            return;
        };
        let end = start + usize::try_from(run.length).expect("the disk is small");
        assert!(start < end && end <= self.bytes.len());
        let near = &self.bytes[start..end.min(start + (64 << 10))];
        assert!(run.allocated || near.iter().all(|byte| *byte == 0));
    }
}

fn open(directory: &Path, memory: usize) -> Image {
    let cache = Cache::new(memory, directory);
    let repository = Repository::open(&directory.join("repo")).expect("git made it");
    let head = repository.resolve("main").expect("git made it").commit;
    let store = SnapshotStore::open(&directory.join("state")).expect("there is room for it");
    let snapshot = store.take(&repository, head, &cache).expect("git made it");
    let options = Options::default();
    Image::open(Origin::Snapshot(snapshot), head, &options).expect("all of it can be shown")
}
