//! Damaged and malicious repositories.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use sha1::Digest as _;

use super::{
    spool::{Entry, copy, header, pack_of, stored, varint},
    *,
};
use crate::error::Kind;

/// The only file in the pack directory with this extension.
fn pack_file(repo: &TestRepo, extension: &str) -> PathBuf {
    let files = fs::read_dir(repo.path().join(".git/objects/pack")).unwrap();
    let mut files = files.map(|file| file.unwrap().path());
    files
        .find(|path| path.extension().is_some_and(|found| found == extension))
        .unwrap()
}

fn replace(path: &PathBuf, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

fn packed() -> (TestRepo, ObjectId) {
    let repo = TestRepo::new();
    let head = repo.fill();
    repo.git(&["repack", "-adfq"]);
    (repo, head)
}

/// Reads all files of a commit.
fn read_everything(repo: &TestRepo, commit: ObjectId) -> Result<u64, crate::Error> {
    let objects = repo.open().objects(&cache(64 << 20))?;
    let mut todo = vec![objects.commit(commit)?.tree];
    let mut read = 0;
    while let Some(tree) = todo.pop() {
        for entry in objects.tree(tree)?.iter() {
            match entry.mode {
                EntryMode::Directory => todo.push(entry.id.to_owned()),
                EntryMode::Gitlink => {}
                _ => read += objects.blob(entry.id, entry.size)?.len(),
            }
        }
    }
    Ok(read)
}

#[test]
fn a_truncated_index_or_pack_is_an_error() {
    let (repo, head) = packed();
    let whole = read_everything(&repo, head).unwrap();
    for extension in ["idx", "pack"] {
        let path = pack_file(&repo, extension);
        let bytes = fs::read(&path).unwrap();
        for length in (0..bytes.len()).step_by(37) {
            replace(&path, &bytes[..length]);
            let error = read_everything(&repo, head).unwrap_err();
            assert_eq!(error.kind(), Kind::Corrupt, "{error}");
            assert!(error.to_string().contains("pack-"), "{error}");
        }
        replace(&path, &bytes);
    }
    assert_eq!(read_everything(&repo, head).unwrap(), whole);
}

#[test]
fn a_flipped_byte_is_found_or_harmless() {
    let (repo, head) = packed();
    let whole = read_everything(&repo, head).unwrap();
    for extension in ["idx", "pack"] {
        let path = pack_file(&repo, extension);
        let bytes = fs::read(&path).unwrap();
        for at in (0..bytes.len()).step_by(3) {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] ^= flip;
                replace(&path, &bytes);
                match read_everything(&repo, head) {
                    Ok(read) => assert_eq!(read, whole),
                    Err(error) => assert!(
                        matches!(
                            error.kind(),
                            Kind::Corrupt | Kind::NotFound | Kind::Unsupported
                        ),
                        "{error}"
                    ),
                }
            }
        }
        replace(&path, &bytes);
    }
}

/// An index for packs that `git index-pack` does not accept.
fn index_of(pack: &[u8], objects: &[(ObjectId, usize)]) -> Vec<u8> {
    let mut objects = objects.to_vec();
    objects.sort();
    let mut index = vec![0xff, b't', b'O', b'c', 0, 0, 0, 2];
    for byte in 0..=255 {
        let below = objects
            .iter()
            .filter(|(id, _)| id.as_bytes()[0] <= byte)
            .count();
        index.extend(u32::try_from(below).unwrap().to_be_bytes());
    }
    for (id, _) in &objects {
        index.extend(id.as_bytes());
    }
    index.extend([0; 4].repeat(objects.len()));
    for (_, offset) in &objects {
        index.extend(u32::try_from(*offset).unwrap().to_be_bytes());
    }
    index.extend(&pack[pack.len() - 20..]);
    let hash: [u8; 20] = sha1::Sha1::digest(&index).into();
    index.extend(hash);
    index
}

/// A repository with a pack of these entries under these ids.
fn with_pack(entries: &[Entry], ids: &[ObjectId]) -> TestRepo {
    let repo = TestRepo::new();
    let pack = pack_of(entries);
    let mut offset = 12;
    let mut objects = Vec::new();
    for (entry, id) in entries.iter().zip(ids) {
        objects.push((*id, offset));
        offset += entry.header.len() + stored(&entry.content).len();
    }
    let directory = repo.path().join(".git/objects/pack");
    fs::write(directory.join("pack-x.pack"), &pack).unwrap();
    fs::write(directory.join("pack-x.idx"), index_of(&pack, &objects)).unwrap();
    repo
}

fn some_id(byte: u8) -> ObjectId {
    ObjectId::Sha1([byte; 20])
}

/// Asserts that reading the blob with any size fails within a short time.
fn assert_refused(repo: &TestRepo, id: ObjectId, case: &str) {
    let begin = Instant::now();
    let objects = repo.objects();
    for size in [0, 10, 1000, 100 << 20, 1 << 60, u64::MAX] {
        let error = objects.blob(&id, size).unwrap_err();
        assert!(
            matches!(error.kind(), Kind::Corrupt | Kind::Unsupported),
            "{case}: {error}"
        );
        assert!(
            error.to_string().contains(&id.to_string()),
            "{case}: {error}"
        );
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "{case}");
}

#[test]
fn a_wrong_size_in_a_header_is_detected() {
    for size in [6, 100_000_000, 1 << 40, 1 << 60, usize::MAX >> 4] {
        let entry = Entry {
            header: header(3, size),
            content: b"hello".to_vec(),
        };
        let repo = with_pack(&[entry], &[blob_id(b"hello")]);
        assert_refused(&repo, blob_id(b"hello"), "whole");
        let id = some_id(1);
        let delta = Entry::raw_delta(&blob_id(b"hello"), 5, size, &copy(0, 5));
        let repo = with_pack(&[Entry::whole(b"hello"), delta], &[blob_id(b"hello"), id]);
        assert_refused(&repo, id, "delta");
    }
}

#[test]
fn a_listing_shows_the_size_of_the_header_without_allocating_it() {
    let entry = Entry {
        header: header(3, 1 << 60),
        content: b"hello".to_vec(),
    };
    let id = blob_id(b"hello");
    let repo = with_pack(&[entry], &[id]);
    let tree = repo.hash_object("tree", &[b"100644 x\0", id.as_bytes()].concat());
    let listing = repo.objects().tree(tree).unwrap();
    assert_eq!(listing.entry(0).size, 1 << 60);
}

#[test]
fn a_cycle_of_deltas_is_detected() {
    let (a, b, c) = (some_id(1), some_id(2), some_id(3));
    let repo = with_pack(
        &[
            Entry::raw_delta(&b, 5, 5, &copy(0, 5)),
            Entry::raw_delta(&c, 5, 5, &copy(0, 5)),
            Entry::raw_delta(&a, 5, 5, &copy(0, 5)),
        ],
        &[a, b, c],
    );
    assert_refused(&repo, b, "three");
    let repo = with_pack(&[Entry::raw_delta(&a, 5, 5, &copy(0, 5))], &[a]);
    assert_refused(&repo, a, "itself");
    let repo = with_pack(&[Entry::raw_delta(&b, 5, 5, &copy(0, 5))], &[a]);
    assert_refused(&repo, a, "base in no pack");
}

#[test]
fn malformed_delta_instructions_are_refused() {
    let base = blob_id(b"hello");
    let bad: [(&str, usize, usize, Vec<u8>); 8] = [
        ("reserved", 5, 5, vec![0]),
        ("outside", 5, 5, copy(1, 5)),
        ("far outside", 5, 5, copy(0xffff_ffff, 5)),
        ("too much", 5, 4, copy(0, 5)),
        ("too little", 5, 6, copy(0, 5)),
        ("other base", 6, 5, copy(0, 5)),
        ("literal cut", 5, 5, vec![5, b'x']),
        ("copy cut", 5, 5, vec![0xff, 0]),
    ];
    for (case, from, to, instructions) in bad {
        let delta = Entry::raw_delta(&base, from, to, &instructions);
        let repo = with_pack(&[Entry::whole(b"hello"), delta], &[base, some_id(1)]);
        assert_refused(&repo, some_id(1), case);
    }
}

#[test]
fn a_delta_bomb_is_bounded_by_the_spool() {
    // Each delta copies its base 200 times, so 5 bytes become terabytes.
    let mut ids = vec![blob_id(b"hello")];
    let mut entries = vec![Entry::whole(b"hello")];
    let mut size = 5;
    for step in 1..7 {
        let instructions = copy(0, size.min(0xff_ffff)).repeat(200);
        let result = size.min(0xff_ffff) * 200;
        entries.push(Entry::raw_delta(
            ids.last().unwrap(),
            size,
            result,
            &instructions,
        ));
        ids.push(some_id(step));
        size = result;
    }
    let repo = with_pack(&entries, &ids);
    let spool = TempDir::new().unwrap();
    let cache = Cache::with_spool(64 << 20, spool.path(), 64 << 20);
    let objects = repo.open().objects(&cache).unwrap();
    for size in [1, u64::try_from(size).unwrap()] {
        let error = objects.blob(&some_id(6), size).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported, "{error}");
    }
}

#[test]
fn an_offset_outside_the_pack_is_an_error() {
    let repo = TestRepo::new();
    let pack = pack_of(&[Entry::whole(b"hello")]);
    let directory = repo.path().join(".git/objects/pack");
    fs::write(directory.join("pack-x.pack"), &pack).unwrap();
    for offset in [
        0,
        11,
        pack.len() - 20,
        pack.len() - 1,
        pack.len(),
        0x7fff_ffff,
    ] {
        let index = index_of(&pack, &[(blob_id(b"hello"), offset)]);
        fs::write(directory.join("pack-x.idx"), index).unwrap();
        assert_refused(&repo, blob_id(b"hello"), "offset");
    }
}

#[test]
fn malformed_loose_objects_are_refused() {
    let repo = TestRepo::new();
    let id = blob_id(b"hello");
    let path = repo.loose(&id);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let long = [b"blob ".as_slice(), &[b'1'; 40], b"\0hello"].concat();
    let contents: [&[u8]; 12] = [
        b"",
        b"blob 5",
        b"blob 5\0hell",
        b"blob 5\0hello!",
        b"blob 4\0hello",
        b"blob -5\0hello",
        b"blob +5\0hello",
        b"tree 5\0hello",
        b"blob 1152921504606846976\0hello",
        b"\0 ",
        b"blob 5\0jello",
        &long,
    ];
    for content in contents {
        fs::write(&path, stored(content)).unwrap();
        assert_refused(&repo, id, &String::from_utf8_lossy(content));
    }
    for raw in [Vec::new(), vec![0x78], vec![0; 100], noise(100, 1)] {
        fs::write(&path, raw).unwrap();
        assert_refused(&repo, id, "raw");
    }
    fs::write(&path, stored(b"blob 5\0hello")).unwrap();
    assert_eq!(read_all(&repo.objects(), &id, 5), b"hello");
}

#[test]
fn other_packs_are_read_beside_a_damaged_one() {
    let (repo, head) = packed();
    let directory = repo.path().join(".git/objects/pack");
    fs::write(directory.join("pack-y.pack"), b"nonsense").unwrap();
    fs::write(directory.join("pack-y.idx"), b"nonsense").unwrap();
    assert_eq!(list(&repo.objects(), head), git_list(&repo, head));
    let error = repo.objects().blob(&some_id(1), 1).unwrap_err();
    assert!(error.to_string().contains("pack-y.idx"), "{error}");
}

#[test]
fn a_size_of_more_than_64_bits_is_refused() {
    let mut wide = vec![0xff; 12];
    wide.push(0x7f);
    let base = blob_id(b"hello");
    for (from, to) in [(wide.clone(), varint(5)), (varint(5), wide)] {
        let content = [from, to, copy(0, 5)].concat();
        let header = [header(7, content.len()), base.as_bytes().to_vec()].concat();
        let entry = Entry { header, content };
        let repo = with_pack(&[Entry::whole(b"hello"), entry], &[base, some_id(1)]);
        assert_refused(&repo, some_id(1), "wide");
        let tree = repo.hash_object("tree", &[b"100644 x\0", some_id(1).as_bytes()].concat());
        assert_eq!(repo.objects().tree(tree).unwrap_err().kind(), Kind::Corrupt);
    }
}

/// A repository with two packs, of which one has a commit-graph and a
/// multi-pack-index.
fn with_graph_and_multi_pack_index() -> (TestRepo, ObjectId) {
    let repo = TestRepo::new();
    repo.fill();
    repo.git(&["tag", "-a", "-m", "one", "v1", "HEAD~1"]);
    repo.git(&["repack", "-dq"]);
    repo.write("new", "new");
    let head = repo.commit("three");
    repo.git(&["repack", "-dq"]);
    repo.git(&["commit-graph", "write", "--reachable"]);
    repo.git(&["multi-pack-index", "write"]);
    (repo, head)
}

#[test]
fn a_damaged_commit_graph_or_multi_pack_index_gives_no_other_commit() {
    let (repo, head) = with_graph_and_multi_pack_index();
    let revisions = ["HEAD", "main", "HEAD~1", "HEAD~2", "main^^", "v1", "v1~0"];
    let expected = revisions.map(|rev| repo.id(&format!("{rev}^{{commit}}")));
    let whole = read_everything(&repo, head).unwrap();
    let objects = repo.path().join(".git/objects");
    for file in ["info/commit-graph", "pack/multi-pack-index"] {
        let path = objects.join(file);
        let bytes = fs::read(&path).unwrap();
        for at in (0..bytes.len()).step_by(17) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0xff;
            replace(&path, &damaged);
            for (rev, expected) in revisions.iter().zip(&expected) {
                match repo.open().resolve(rev) {
                    Ok(found) => assert_eq!(found.commit, *expected, "{rev}, byte {at} of {file}"),
                    Err(error) => assert!(
                        matches!(error.kind(), Kind::Corrupt | Kind::NotFound | Kind::Invalid),
                        "{error}"
                    ),
                }
            }
            assert_eq!(read_everything(&repo, head).unwrap(), whole, "{file}");
        }
        replace(&path, &bytes);
    }
}
