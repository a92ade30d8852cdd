//! Blobs that are too large for memory.

use std::{fs, num::NonZeroUsize, sync::mpsc, thread, time::Duration};

use super::*;
use crate::{
    error::Kind,
    git::{Blob, open_files::Shares, spool::Spool},
};

const LARGE: usize = 40_000_000;

/// A repository with one blob of 40 MB in two versions.
fn large_repo() -> (TestRepo, Vec<u8>, Vec<u8>) {
    let repo = TestRepo::new();
    let mut content = noise(LARGE / 40, 7).repeat(40);
    repo.write("large", &content);
    repo.write("small", "small");
    repo.commit("one");
    let before = content.clone();
    content.splice(1_000_000..1_000_000, *b"something in between");
    content.truncate(LARGE - 12345);
    repo.write("large", &content);
    repo.commit("two");
    (repo, before, content)
}

/// Asserts that both versions are read, and not held in memory.
fn check(repo: &TestRepo, before: &[u8], after: &[u8], case: &str) {
    let cache = cache(256 << 20);
    let objects = repo.open().objects(&cache).unwrap();
    for (rev, content) in [("HEAD~1", before), ("HEAD", after)] {
        let listing = objects.tree(repo.id(&format!("{rev}^{{tree}}"))).unwrap();
        let entry = listing.entry(0);
        assert_eq!(entry.size, u64::try_from(content.len()).unwrap(), "{case}");
        assert!(
            read_all(&objects, entry.id, entry.size) == content,
            "{case}: {rev} differs"
        );
        assert!(objects.blob_cached(entry.id).is_none());
    }
    assert!(
        cache.used() < 1 << 20,
        "{case}: {} bytes are in memory",
        cache.used()
    );
}

#[test]
fn large_blobs_are_read_loose_packed_and_as_deltas() {
    let (repo, before, after) = large_repo();
    check(&repo, &before, &after, "loose");
    repo.git(&[
        "-c",
        "core.bigFileThreshold=1g",
        "repack",
        "-adfq",
        "--window=0",
    ]);
    check(&repo, &before, &after, "packed");
    repo.git(&["-c", "core.bigFileThreshold=1g", "repack", "-adfq"]);
    let pack = fs::read_dir(repo.path().join(".git/objects/pack")).unwrap();
    let size = pack
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum::<u64>();
    assert!(size < 45_000_000, "the pack has deltas: {size}");
    check(&repo, &before, &after, "delta");
}

#[test]
fn a_small_blob_can_be_a_delta_on_a_large_one() {
    let repo = TestRepo::new();
    let large = noise(70 << 20, 3);
    let small = &large[60 << 20..61 << 20];
    let (base, id) = (blob_id(&large), blob_id(small));
    let instructions = [
        copy(60 << 20, 1 << 19),
        copy((60 << 20) + (1 << 19), 1 << 19),
    ];
    let pack = pack_of(&[
        Entry::whole(&large),
        Entry::delta(&base, &large, &instructions),
    ]);
    run(&repo.path(), &["index-pack", "--stdin"], &pack);
    let cache = cache(256 << 20);
    let objects = repo.open().objects(&cache).unwrap();
    assert!(read_all(&objects, &id, 1 << 20) == small);
    assert!(objects.blob_cached(&id).is_some());
}

#[test]
fn the_spool_is_bounded() {
    let repo = TestRepo::new();
    for file in 0..5 {
        repo.write(&format!("f{file}"), noise(1 << 20, file + 1));
    }
    repo.commit("megabytes");
    let spool = TempDir::new().unwrap();
    let cache = Cache::with_spool(1 << 20, spool.path(), 2 << 20);
    let objects = repo.open().objects(&cache).unwrap();
    let listing = objects.tree(repo.id("HEAD^{tree}")).unwrap();
    for entry in listing.iter().chain(listing.iter()) {
        read_all(&objects, entry.id, entry.size);
    }
    assert!(
        spool.path().read_dir().unwrap().next().is_none(),
        "spooled files have no names"
    );
    let cache = Cache::with_spool(1 << 20, spool.path(), 1000);
    let objects = repo.open().objects(&cache).unwrap();
    let error = objects.blob(listing.entry(0).id, 1 << 20).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(
        error.to_string().contains("1000 bytes that may be spooled"),
        "{error}"
    );
}

/// Blobs and what is derived from them: each file counts its share at least.
#[test]
fn the_number_of_spooled_files_is_bounded() {
    let repo = TestRepo::new();
    let ids = [1, 3, 5].map(|seed| repo.hash_object("blob", &noise(300_000, seed)));
    let three = NonZeroUsize::MIN.saturating_add(2);
    let shares = Shares {
        spooled: three,
        ..Shares::of_process()
    };
    let spool = TempDir::new().unwrap();
    let cache = Cache::with_shares(1 << 20, spool.path(), 1 << 30, shares);
    let objects = repo.open().objects(&cache).unwrap();
    let spooled = |id: &ObjectId| cache.spool().get(id).is_some();
    for id in &ids {
        objects.blob(id, 300_000).unwrap();
    }
    assert!(ids.iter().all(spooled));
    let derived = [4, 5].map(|byte| ObjectId::Sha1([byte; 20]));
    for name in derived {
        let made = objects.derive(name, 300_000, |sink| sink(&vec![7; 300_000]));
        assert!(matches!(made.unwrap(), Blob::Spooled(_)));
    }
    assert!(derived.iter().all(spooled));
    let left = ids.map(|id| spooled(&id));
    assert_eq!(left, [false, false, true]);
}

#[test]
fn a_damaged_large_blob_is_not_served() {
    let repo = TestRepo::new();
    let content = noise(33 << 20, 9);
    let id = repo.hash_object("blob", &content);
    let other = repo.hash_object("blob", &noise(33 << 20, 10));
    let path = |id: &ObjectId| repo.loose(id);
    fs::rename(path(&other), path(&id)).unwrap();
    let error = repo.objects().blob(&id, 33 << 20).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
    assert!(error.to_string().contains(&other.to_string()), "{error}");
    let bytes = fs::read(path(&id)).unwrap();
    fs::remove_file(path(&id)).unwrap();
    fs::write(path(&id), &bytes[..bytes.len() / 2]).unwrap();
    let error = repo.objects().blob(&id, 33 << 20).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt, "{error}");
}

/// An entry of a pack.
pub(super) struct Entry {
    pub(super) header: Vec<u8>,
    pub(super) content: Vec<u8>,
}

impl Entry {
    pub(super) fn whole(content: &[u8]) -> Self {
        Self {
            header: header(3, content.len()),
            content: content.to_vec(),
        }
    }

    /// A delta on `base`, which it refers to by id.
    pub(super) fn delta(base: &ObjectId, base_bytes: &[u8], instructions: &[Vec<u8>]) -> Self {
        let result = instructions.iter().map(|i| instruction_length(i)).sum();
        Self::raw_delta(base, base_bytes.len(), result, &instructions.concat())
    }

    pub(super) fn raw_delta(base: &ObjectId, from: usize, to: usize, instructions: &[u8]) -> Self {
        let content = [varint(from), varint(to), instructions.to_vec()].concat();
        let header = [header(7, content.len()), base.as_bytes().to_vec()].concat();
        Self { header, content }
    }
}

pub(super) fn copy(offset: usize, length: usize) -> Vec<u8> {
    let (offset, length) = (offset.to_le_bytes(), length.to_le_bytes());
    [vec![0xff], offset[..4].to_vec(), length[..3].to_vec()].concat()
}

fn instruction_length(instruction: &[u8]) -> usize {
    match instruction[0] {
        0xff => {
            usize::from(instruction[5])
                + (usize::from(instruction[6]) << 8)
                + (usize::from(instruction[7]) << 16)
        }
        length => usize::from(length),
    }
}

/// The header of an entry: type and length.
pub(super) fn header(kind: u8, length: usize) -> Vec<u8> {
    let first = (kind << 4) | u8::try_from(length & 15).unwrap();
    if length < 16 {
        vec![first]
    } else {
        [vec![first | 0x80], varint(length >> 4)].concat()
    }
}

pub(super) fn varint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap());
    bytes
}

/// A pack of these entries with a valid checksum.
pub(super) fn pack_of(entries: &[Entry]) -> Vec<u8> {
    use sha1::Digest as _;
    let count = u32::try_from(entries.len()).unwrap();
    let mut pack = [
        b"PACK".as_slice(),
        &2_u32.to_be_bytes(),
        &count.to_be_bytes(),
    ]
    .concat();
    for entry in entries {
        pack.extend(&entry.header);
        pack.extend(stored(&entry.content));
    }
    let hash: [u8; 20] = sha1::Sha1::digest(&pack).into();
    pack.extend(hash);
    pack
}

/// A zlib stream that stores `content` uncompressed.
pub(super) fn stored(content: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let mut chunks = content.chunks(0xffff).peekable();
    if content.is_empty() {
        stream.extend([1, 0, 0, 0xff, 0xff]);
    }
    while let Some(chunk) = chunks.next() {
        let length = u16::try_from(chunk.len()).unwrap();
        stream.push(u8::from(chunks.peek().is_none()));
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(chunk);
    }
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in content {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    stream.extend(((b << 16) | a).to_be_bytes());
    stream
}

/// A spool of 100 bytes.
fn small_spool(directory: &TempDir) -> Spool {
    Spool::new(directory.path(), 100, NonZeroUsize::new(10).unwrap())
}

fn name(byte: u8) -> ObjectId {
    ObjectId::Sha1([byte; 20])
}

#[test]
fn nobody_waits_for_another_blob_while_there_is_room() {
    const PATIENCE: Duration = Duration::from_secs(20);
    let directory = tempfile::tempdir().unwrap();
    let spool = &small_spool(&directory);
    let (finish, may_finish) = mpsc::channel();
    let (begun, has_begun) = mpsc::channel();
    thread::scope(|scope| {
        let slow = scope.spawn(move || {
            spool.write_derived(name(1), 40, |sink| {
                begun.send(()).unwrap();
                may_finish
                    .recv_timeout(PATIENCE)
                    .expect("the others finish first");
                sink(&[1; 40])
            })
        });
        has_begun.recv().unwrap();
        // One that fits beside it, and then in the place of that.
        for byte in 2..10 {
            let made = spool.write_derived(name(byte), 60, |sink| sink(&[byte; 60]));
            assert_eq!(made.unwrap().size, 60);
        }
        // One that does not fit waits.
        let waits = scope.spawn(|| spool.write_derived(name(10), 61, |sink| sink(&[10; 61])));
        finish.send(()).unwrap();
        assert_eq!(slow.join().unwrap().unwrap().size, 40);
        assert_eq!(waits.join().unwrap().unwrap().size, 61);
    });
}
