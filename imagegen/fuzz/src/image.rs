//! Reading anything of an image, in any order.

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

/// One image twice, with a cache that keeps everything and with one that
/// keeps nothing.
struct Disks {
    bytes: Vec<u8>,
    images: [Image; 2],
    /// Where the snapshot is.
    _directory: TempDir,
}

/// Eight bytes a read: an offset of five, little endian; a length of two; the
/// last bit of the last byte chooses the image, the next one counts the
/// offset from the end of the disk, the third from the end of all numbers.
pub fn image_read(data: &[u8]) {
    DISKS.with(|disks| {
        let disks = disks.get_or_init(Disks::new);
        for question in data.as_chunks::<8>().0.iter().take(64) {
            let [offset @ .., low, high, how] = *question;
            let offset = offset
                .iter()
                .rev()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
            let offset = match how >> 1 & 3 {
                0 => offset % (disks.images[0].size() + 8192),
                1 => disks.images[0].size().wrapping_sub(offset),
                _ => u64::MAX - offset,
            };
            let length = usize::from(u16::from_le_bytes([low, high]));
            disks.ask(&disks.images[usize::from(how & 1)], offset, length);
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
            let (piece, behind) = rest.split_at(length);
            assert!(run.allocated || piece.iter().all(|byte| *byte == 0));
            (at, rest) = (at + run.length, behind);
        }
        assert!(rest.is_empty(), "runs tile the disk");
        Self {
            bytes,
            images,
            _directory: directory,
        }
    }

    fn ask(&self, image: &Image, offset: u64, length: usize) {
        let mut bytes = vec![0xa5; length];
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let expected = self.bytes.get(start..start.saturating_add(length));
        match image.read_ready(offset, &mut bytes) {
            Ok(true) => assert_eq!(Some(&*bytes), expected, "{length} at {offset}, ready"),
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
    let head = repository.resolve("main").expect("git made it");
    let store = SnapshotStore::open(&directory.join("state")).expect("there is room for it");
    let snapshot = store.take(&repository, head, &cache).expect("git made it");
    let options = Options::default();
    Image::open(Origin::Snapshot(snapshot), head, &options).expect("all of it can be shown")
}
