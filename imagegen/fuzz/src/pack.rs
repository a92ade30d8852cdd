//! The entries of a pack.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;

use imagegen::git::{Cache, ObjectId, Repository};
use sha1::{Digest, Sha1};
use tempfile::TempDir;

use super::git::git;

const MEMORY: usize = 4 << 20;
const SPOOL: u64 = 2 << 20;
const PACK_HEADER: usize = 12;
const MAX_OBJECTS: usize = 16;

thread_local! {
    static REPO: RefCell<Option<Repo>> = const { RefCell::new(None) };
}

/// A repository whose only pack is written again for every input.
struct Repo {
    directory: TempDir,
    repository: Repository,
    number: u64,
}

/// The first byte is the number of objects; two for each are the offset of its
/// entry, relative to the first; the rest are the entries. An id is the number
/// of the object 20 times, so that deltas can refer to it.
///
/// No object has the hash of its id, so reading any of them must fail.
pub fn pack_entry(data: &[u8]) {
    let Some((&count, rest)) = data.split_first() else {
        return;
    };
    let count = usize::from(count) % (MAX_OBJECTS + 1);
    let Some((offsets, entries)) = rest.split_at_checked(2 * count) else {
        return;
    };
    let offset = |pair: &[u8]| usize::from(pair[0]) << 8 | usize::from(pair[1]);
    let offsets = offsets.chunks(2).map(offset).collect::<Vec<_>>();
    REPO.with_borrow_mut(|repo| {
        let repo = repo.get_or_insert_with(Repo::new);
        repo.write(&offsets, entries);
        repo.read(count);
    });
}

/// The id of an object by its number.
fn id(number: usize) -> ObjectId {
    ObjectId::Sha1([u8::try_from(number).expect("it is small"); 20])
}

impl Repo {
    fn new() -> Self {
        let directory = TempDir::new().expect("there is room for a directory");
        git(directory.path(), &["init", "-q", "--bare"], b"");
        let repository = Repository::open(directory.path()).expect("git made it");
        Self {
            directory,
            repository,
            number: 0,
        }
    }

    fn pack(&self, extension: &str) -> PathBuf {
        let name = format!("pack-{:040x}.{extension}", self.number);
        self.directory.path().join("objects/pack").join(name)
    }

    /// Writes a pack of these entries and its index.
    fn write(&mut self, offsets: &[usize], entries: &[u8]) {
        for extension in ["idx", "pack"] {
            fs::remove_file(self.pack(extension)).ok();
        }
        self.number += 1;
        let count = be32(offsets.len());
        let mut pack = [b"PACK\0\0\0\x02".as_slice(), &count, entries].concat();
        pack.extend(Sha1::digest(&pack));
        let mut index = b"\xfftOc\0\0\0\x02".to_vec();
        (0..=255).for_each(|byte| index.extend(be32(offsets.len().min(byte + 1))));
        (0..offsets.len()).for_each(|number| index.extend(id(number).as_bytes()));
        index.extend(vec![0; 4 * offsets.len()]);
        for offset in offsets {
            index.extend(be32(PACK_HEADER + offset));
        }
        index.extend(&pack[pack.len() - 20..]);
        index.extend(Sha1::digest(&index));
        fs::write(self.pack("pack"), pack).expect("there is room for a pack");
        fs::write(self.pack("idx"), index).expect("there is room for an index");
    }

    /// Reads every object as an object of every kind.
    fn read(&self, count: usize) {
        let cache = Cache::with_spool(MEMORY, self.directory.path(), SPOOL);
        let objects = self.repository.objects(&cache).expect("it has objects");
        for id in (0..=count).map(id) {
            assert!(objects.commit(id).is_err() && objects.tree(id).is_err());
            if let Ok(size) = objects.blob_size(&id) {
                assert!(objects.blob(&id, size).is_err(), "a blob of another id");
            }
            assert!(
                objects.blob(&id, SPOOL - 1).is_err(),
                "a blob of another id"
            );
        }
        assert!(cache.used() <= MEMORY);
    }
}

fn be32(number: usize) -> [u8; 4] {
    u32::try_from(number).expect("it is small").to_be_bytes()
}
