//! Files that checkout converts.

use std::{fs, path::Path, sync::Arc};

use imagegen::{
    Error, Kind,
    git::{Cache, ObjectId, Repository},
    image::{Image, Options, Origin},
};

use crate::harness::{TestRepo, bare, file, whole};

#[test]
fn what_git_leaves_unencoded_is_shown_so_and_said() {
    let attributes = "*.txt working-tree-encoding=nonsense eol=crlf\n\
        latin working-tree-encoding=latin1\nfine working-tree-encoding=IBM-1047\n";
    let files = [
        file(".gitattributes", attributes),
        file("fine", "abc\n"),
        file("sub/a.txt", "a\n"),
        file("sub/latin", "\u{416}\n"),
    ]
    .concat();
    let (repo, head) = TestRepo::holding(&files);
    let image = repo.open(head, &bare()).unwrap();
    let [one, two] = image.notices() else {
        panic!("{:?}", image.notices())
    };
    assert_eq!(
        one,
        "sub/a.txt: checked out unencoded, as by git: iconv fails to encode it from UTF-8 to nonsense"
    );
    assert!(two.starts_with("sub/latin: "), "{two}");
    let copy = repo.dump_all(&image, "ours");
    repo.git(&["checkout", "-q", "main"]);
    for path in ["fine", "sub/a.txt", "sub/latin"] {
        let read = |folder: &Path| fs::read(folder.join(path)).unwrap();
        assert_eq!(read(&copy), read(&repo.path()), "{path}");
    }
}

#[test]
fn notices_are_bounded() {
    let mut files = file(".gitattributes", "* working-tree-encoding=nonsense\n");
    files.extend((0..100).flat_map(|number| file(format!("file{number}"), "text\n")));
    let (repo, head) = TestRepo::holding(&files);
    let image = repo.open(head, &Options::default()).unwrap();
    assert_eq!(image.notices().len(), 17);
    // The attributes are encoded like the others.
    assert_eq!(image.notices()[16], "and 85 more of this kind");
}

#[test]
fn an_encoding_without_a_name_is_refused_with_the_path() {
    let files = [
        file("sub/.gitattributes", "text working-tree-encoding\n"),
        file("sub/text", "text\n"),
    ]
    .concat();
    let (repo, head) = TestRepo::holding(&files);
    let error = repo.open(head, &bare()).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    let words = [
        "sub/text: ",
        "working-tree-encoding has no value",
        &head.to_string(),
    ];
    assert!(
        words.iter().all(|word| error.to_string().contains(word)),
        "{error}"
    );
}

/// The bytes of memory of a cache.
const MEMORY: usize = 4 << 20;

/// Opens an image through this cache.
fn open(repo: &TestRepo, head: ObjectId, cache: &Arc<Cache>) -> imagegen::Result<Image> {
    let objects = Repository::open(&repo.path())?.objects(cache)?;
    Image::open(Origin::Objects(objects), head, &bare())
}

/// A repository of `files` files of many lines that are converted.
fn many(files: usize) -> (TestRepo, ObjectId) {
    let mut all = file(".gitattributes", "* text=auto eol=crlf\n*.bin binary\n");
    for number in 0..files {
        let text = format!("{number}\n").repeat(number + 1);
        all.extend(file(format!("d{}/{number}", number % 7), text));
        all.extend(file(
            format!("d{}/{number}.crlf", number % 7),
            format!("{number}\r\n"),
        ));
    }
    TestRepo::holding(&all)
}

#[test]
fn files_are_measured_once_for_all_commits_and_starts() {
    let (repo, head) = many(300);
    let state = repo.beside("measures");
    let start = || {
        let (cache, ignored) = Cache::with_measures(MEMORY, &repo.beside(""), 1 << 30, &state);
        assert!(ignored.is_none());
        cache
    };
    let cache = start();
    let first = open(&repo, head, &cache).unwrap();
    let read = cache.inflated();
    assert!(read > 10_000, "{read}");
    open(&repo, head, &cache).unwrap();
    assert_eq!(cache.inflated(), read, "measured again");

    let later = start();
    let second = open(&repo, head, &later).unwrap();
    // The attributes themselves are read.
    assert!(later.inflated() < 100, "measured again after a restart");
    assert!(whole(&first) == whole(&second));
    repo.dump_all(&first, "ours");
    repo.git(&["checkout", "-q", "main"]);
    let diff = std::process::Command::new("diff")
        .args(["-r", "-x", ".git"])
        .args([repo.beside("ours"), repo.path()])
        .output()
        .unwrap();
    assert!(
        diff.status.success(),
        "{}",
        String::from_utf8_lossy(&diff.stdout)
    );
}

/// Changes the length in a record, with the right checksum.
fn falsify(measures: &Path) {
    const HEADER: usize = 32;
    const RECORD: usize = 36;
    let mut bytes = fs::read(measures).unwrap();
    for record in bytes[HEADER..].chunks_exact_mut(RECORD) {
        record[20] ^= 1;
        let sum = crc32c::crc32c(&record[..RECORD - 4]);
        record[RECORD - 4..].copy_from_slice(&sum.to_le_bytes());
    }
    fs::write(measures, bytes).unwrap();
}

/// The first errors of a read of everything.
fn read_all(image: &Image) -> Vec<Error> {
    let read = |at: u64| image.read_at(at, &mut [0; 4096]).err();
    (0..image.size())
        .step_by(4096)
        .filter_map(read)
        .take(3)
        .collect()
}

#[test]
fn a_wrong_length_is_never_served_and_is_gone_with_the_next_image() {
    for (attributes, content) in [
        ("f eol=crlf\n", "one\ntwo\n".to_owned()),
        // These do not change: what the file says about them is checked too.
        ("f text=auto eol=crlf\n", "one\r\ntwo\n".to_owned()),
        ("f working-tree-encoding=nonsense\n", "one\n".to_owned()),
        // These are spooled.
        ("f eol=crlf\n", "one\n".repeat(300_000)),
    ] {
        let files = [file(".gitattributes", attributes), file("f", content)].concat();
        let (repo, head) = TestRepo::holding(&files);
        let state = repo.beside("measures");
        let start = || Cache::with_measures(MEMORY, &repo.beside(""), 1 << 30, &state).0;
        let right = whole(&open(&repo, head, &start()).unwrap());
        falsify(&state);
        let errors = read_all(&open(&repo, head, &start()).unwrap());
        assert!(!errors.is_empty(), "{attributes}");
        for error in errors {
            assert_eq!(error.kind(), Kind::Corrupt, "{error}");
            assert!(error.to_string().starts_with("f: "), "{error}");
        }
        assert!(
            whole(&open(&repo, head, &start()).unwrap()) == right,
            "{attributes}"
        );
    }
}

/// Converted files larger than memory allows go to the spool, and nowhere else.
#[test]
fn large_files_are_converted_through_the_spool() {
    let large = "a line\n".repeat(1_000_000);
    let files = [
        file(".gitattributes", "* eol=crlf ident\n"),
        file("large", large),
    ]
    .concat();
    let (repo, head) = TestRepo::holding(&files);
    let cache = Cache::with_spool(MEMORY, &repo.beside(""), 100 << 20);
    let image = open(&repo, head, &cache).unwrap();
    let ours = repo.dump(&image, "large");
    assert!(cache.used() < 1 << 20, "{}", cache.used());
    repo.git(&["checkout", "-q", "main"]);
    assert!(ours == fs::read(repo.path().join("large")).unwrap());

    let cache = Cache::with_spool(MEMORY, &repo.beside(""), 7_500_000);
    let errors = read_all(&open(&repo, head, &cache).unwrap());
    let error = errors.first().unwrap();
    assert_eq!(error.kind(), Kind::Unsupported, "{error}");
    assert!(
        error.to_string().contains("8000000 bytes are more than"),
        "{error}"
    );
}

#[test]
fn the_first_file_that_cannot_be_measured_is_named() {
    let repo = TestRepo::new();
    let mut all = file(
        ".gitattributes",
        "* eol=crlf\nd/150 working-tree-encoding\n",
    );
    for number in 100..200 {
        all.extend(file(format!("d/{number}"), format!("{number}\n")));
    }
    let head = repo.import(&all);
    let cache = Cache::new(MEMORY, &repo.beside(""));
    let error = open(&repo, head, &cache).unwrap_err();
    assert!(error.to_string().contains(": d/150: "), "{error}");
}
