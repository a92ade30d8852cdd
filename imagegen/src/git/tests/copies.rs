//! Objects of which there are several copies, one of them damaged: what git
//! reads, we read.

use std::{fs, num::NonZeroUsize};

use super::*;
use crate::{error::Kind, git::open_files::Shares, numbers::to_u64};

/// An entry of a pack as `git verify-pack -v` prints it.
struct PackEntry {
    id: ObjectId,
    is_blob: bool,
    offset: usize,
    length: usize,
    base: Option<ObjectId>,
}

fn id_of(hex: &str) -> ObjectId {
    ObjectId::from_hex(hex.as_bytes()).unwrap()
}

fn entries(repo: &TestRepo, pack: &Path) -> Vec<PackEntry> {
    let printed = repo.git(&["verify-pack", "-v", pack.to_str().unwrap()]);
    let words = printed
        .lines()
        .map(|line| line.split(' ').filter(|word| !word.is_empty()));
    let lines = words.map(Iterator::collect::<Vec<_>>);
    let entries = lines.filter(|line| line.len() >= 5 && line[0].len() >= 40);
    let parse = |line: Vec<&str>| PackEntry {
        id: id_of(line[0]),
        is_blob: line[1] == "blob",
        length: line[3].parse().unwrap(),
        offset: line[4].parse().unwrap(),
        base: line.get(6).map(|base| id_of(base)),
    };
    entries.map(parse).collect()
}

fn packs(repo: &TestRepo) -> Vec<PathBuf> {
    let files = fs::read_dir(repo.path().join(".git/objects/pack")).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    let mut packs = paths
        .filter(|path| path.extension().is_some_and(|found| found == "pack"))
        .collect::<Vec<_>>();
    packs.sort();
    packs
}

/// Replaces the file, so that what others have mapped stays as it is.
fn replace(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Inverts a byte in the middle of an entry: of its compressed content.
fn damage(pack: &Path, entry: &PackEntry) {
    let mut bytes = fs::read(pack).unwrap();
    bytes[entry.offset + entry.length / 2] ^= 0xff;
    replace(pack, &bytes);
}

/// All objects as git reads them.
fn git_reads(repo: &TestRepo, ids: &str) -> Vec<u8> {
    run(&repo.path(), &["cat-file", "--batch"], ids.as_bytes())
}

/// Runs `work`; returns what it has logged too.
fn logged<T>(work: impl FnOnce() -> T) -> (T, String) {
    let log = tempfile::NamedTempFile::new().unwrap();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(Arc::new(log.reopen().unwrap()))
        .with_ansi(false)
        .finish();
    let result = tracing::subscriber::with_default(subscriber, work);
    (result, fs::read_to_string(log.path()).unwrap())
}

/// A repository whose objects are all in two packs, and its head.
fn in_two_packs() -> (TestRepo, ObjectId) {
    let repo = TestRepo::new();
    repo.write("long", noise(30_000, 1));
    let head = repo.fill();
    repo.git(&["repack", "-adfq"]);
    let objects = ["pack-objects", "-q", "--all", ".git/objects/pack/pack"];
    let other = [&["-c", "pack.compression=1"][..], &objects].concat();
    run(&repo.path(), &other, b"");
    assert_eq!(packs(&repo).len(), 2);
    (repo, head)
}

#[test]
fn a_copy_in_another_pack_is_read() {
    let (repo, head) = in_two_packs();
    let expected = git_list(&repo, head);
    for pack in packs(&repo) {
        let (good, entries) = (fs::read(&pack).unwrap(), entries(&repo, &pack));
        let ids = entries
            .iter()
            .fold(String::new(), |ids, entry| format!("{ids}{}\n", entry.id));
        let all = git_reads(&repo, &ids);
        for entry in &entries {
            damage(&pack, entry);
            assert!(git_reads(&repo, &ids) == all, "git reads {}", entry.id);
            let (listed, log) = logged(|| list(&repo.objects(), head));
            assert_eq!(listed, expected, "{}", entry.id);
            if log.contains("another copy is read") {
                assert!(log.contains(pack.to_str().unwrap()), "{log}");
            }
            replace(&pack, &good);
        }
        let (listed, log) = logged(|| {
            replace(&pack, &good[..good.len() / 2]);
            list(&repo.objects(), head)
        });
        assert_eq!(listed, expected);
        let name = pack.file_stem().unwrap().to_str().unwrap();
        // The other one may be found first.
        assert!(log.is_empty() || log.contains(name), "{log}");
        replace(&pack, &good);
    }
}

/// Damages all copies but one of a blob in a pack, a file of its own and an
/// alternate.
#[test]
fn one_good_copy_is_enough_wherever_it_is() {
    let repo = TestRepo::new();
    let content = noise(2_000, 9);
    repo.write("blob", &content);
    repo.commit("one");
    let id = repo.id("HEAD:blob");
    let alternate = repo.beside("alternate");
    let borrow = ["clone", "-q", "--bare", ".", alternate.to_str().unwrap()];
    repo.git(&borrow);
    run(&alternate, &["repack", "-adfq"], b"");
    let loose = repo.loose(&id);
    repo.git(&["repack", "-dq"]);
    assert!(!loose.exists());
    fs::create_dir_all(loose.parent().unwrap()).unwrap();
    let stored = [format!("blob {}\0", content.len()).as_bytes(), &content].concat();
    fs::write(&loose, spool::stored(&stored)).unwrap();
    let objects = alternate.join("objects");
    let listed = format!("{}\n", objects.display());
    fs::write(repo.path().join(".git/objects/info/alternates"), listed).unwrap();

    let own = packs(&repo).remove(0);
    let other = fs::read_dir(objects.join("pack")).unwrap();
    let mut other = other.map(|file| file.unwrap().path());
    let other = other.find(|path| path.extension().is_some_and(|found| found == "pack"));
    let copies = [own, other.unwrap(), loose];
    let good = copies.each_ref().map(|path| fs::read(path).unwrap());
    let bad = [0, 1, 2].map(|at: usize| {
        let mut bytes = good[at].clone();
        let offset = if at == 2 {
            bytes.len() / 2
        } else {
            let entries = entries(&repo, &copies[at]);
            let entry = entries.iter().find(|entry| entry.id == id).unwrap();
            entry.offset + entry.length / 2
        };
        bytes[offset] ^= 0xff;
        bytes
    });
    // Read from memory, and spooled.
    for memory in [64 << 20, 4 << 10] {
        for only in 0..4 {
            for at in 0..3 {
                replace(&copies[at], if at == only { &good[at] } else { &bad[at] });
            }
            let objects = repo.open().objects(&cache(memory)).unwrap();
            let (read, log) = logged(|| objects.blob(&id, 2_000));
            if only < 3 {
                assert!(read.unwrap().to_vec().unwrap() == content, "copy {only}");
                let hex = id.to_string();
                assert_eq!(git_reads(&repo, &hex).len(), hex.len() + 12 + content.len());
                assert!(only == 0 || log.contains(&hex), "{log}");
            } else {
                let error = read.unwrap_err();
                assert_eq!(error.kind(), Kind::Corrupt, "{error}");
                assert!(error.to_string().contains(&id.to_string()), "{error}");
            }
        }
    }
}

/// Six versions of a file, each a delta on another, in one pack.
fn chain_of_deltas() -> TestRepo {
    let repo = TestRepo::new();
    let mut content = noise(3_000, 3);
    for round in 0..6 {
        let at = round * 400;
        content.splice(at..at + 200, noise(200, to_u64(at + 9)));
        repo.write("file", &content);
        repo.commit("more");
    }
    repo.git(&["repack", "-adfq"]);
    repo
}

#[test]
fn a_delta_base_that_is_damaged_is_read_elsewhere() {
    let repo = chain_of_deltas();
    let pack = packs(&repo).remove(0);
    let entries = entries(&repo, &pack);
    let is_base = |entry: &&PackEntry| {
        entry.is_blob && entries.iter().any(|other| other.base == Some(entry.id))
    };
    let bases = entries.iter().filter(is_base).collect::<Vec<_>>();
    assert!(bases.len() > 1, "a chain of deltas");
    let blobs = (0..6).map(|back| repo.id(&format!("HEAD~{back}:file")));
    let blobs = blobs
        .map(|id| (id, repo.objects().blob_size(&id).unwrap()))
        .collect::<Vec<_>>();
    let right = blobs
        .iter()
        .map(|(id, size)| read_all(&repo.objects(), id, *size));
    let right = right.collect::<Vec<_>>();
    let good = fs::read(&pack).unwrap();
    for base in bases {
        let alternate = repo.beside("base.git");
        run(
            repo.directory.path(),
            &["init", "-q", "--bare", "base.git"],
            b"",
        );
        let content = run(
            &repo.path(),
            &["cat-file", "blob", &base.id.to_string()],
            b"",
        );
        run(&alternate, &["hash-object", "-w", "--stdin"], &content);
        damage(&pack, base);
        for memory in [64 << 20, 4 << 10] {
            let objects = || repo.open().objects(&cache(memory)).unwrap();
            let listed = repo.path().join(".git/objects/info/alternates");
            let lost = blobs
                .iter()
                .filter(|(id, size)| objects().blob(id, *size).is_err());
            assert!(lost.count() > 1, "the base and what is based on it");
            fs::write(
                &listed,
                format!("{}\n", alternate.join("objects").display()),
            )
            .unwrap();
            let (objects, hex) = (objects(), base.id.to_string());
            for ((id, size), right) in blobs.iter().zip(&right) {
                let git = run(&repo.path(), &["cat-file", "blob", &id.to_string()], b"");
                assert!(git == *right, "git reads {id}");
                assert!(read_all(&objects, id, *size) == *right, "{id} on {hex}");
            }
            fs::remove_file(&listed).unwrap();
        }
        replace(&pack, &good);
        fs::remove_dir_all(&alternate).unwrap();
    }
}

#[test]
fn few_of_many_packs_are_mapped_at_once() {
    let repo = TestRepo::new();
    for round in 0..7 {
        repo.write("file", format!("{round}"));
        repo.write(&format!("file-{round}"), format!("{round}"));
        repo.commit("more");
        repo.git(&["repack", "-dq"]);
    }
    let shares = Shares {
        packs: NonZeroUsize::new(3).unwrap(),
        ..Shares::of_process()
    };
    let cache = Cache::with_shares(64 << 20, &std::env::temp_dir(), 1 << 30, shares);
    let (objects, head) = (repo.open().objects(&cache).unwrap(), repo.id("HEAD"));
    assert_eq!(list(&objects, head), git_list(&repo, head));
    assert_eq!(cache.packs().len(), 3);
    drop(objects);
    assert_eq!(cache.packs().len(), 0);
}
