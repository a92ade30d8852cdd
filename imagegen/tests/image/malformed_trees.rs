//! Trees that git would not write, shown as git checks them out.

use std::{collections::BTreeMap, fs, io::ErrorKind, os::unix::fs::MetadataExt as _, path::Path};

use imagegen::{
    Kind,
    git::ObjectId,
    image::{Image, Options},
};
use proptest::prelude::*;

use crate::{
    harness::{TestRepo, bare},
    support::git::{command, git, run},
};

/// The entries of a tree: mode, name, id.
type Entries<'a> = &'a [(&'a str, &'a str, ObjectId)];

struct Fixture {
    repo: TestRepo,
    blobs: [ObjectId; 2],
    /// With a file each, of different names.
    trees: [ObjectId; 2],
}

impl Fixture {
    fn new() -> Self {
        let repo = TestRepo::new();
        let blobs = ["A\n", "B\n"].map(|text| hash(&repo, "blob", text.as_bytes()));
        let [x, y] = ["x", "y"];
        let trees = [(x, blobs[0]), (y, blobs[1])];
        let trees = trees.map(|(name, id)| tree(&repo, &[("100644", name, id)]));
        Self { repo, blobs, trees }
    }

    fn open(&self, tree: ObjectId, options: &Options) -> imagegen::Result<Image> {
        let head = self.repo.commit(tree);
        self.repo.open(head, options)
    }

    /// Asserts that the image of a tree has the files and the index of a
    /// checkout by git, and the same status.
    fn agrees(&self, tree: ObjectId) {
        let image = self.open(tree, &Options::default()).unwrap();
        assert!(!image.notices().is_empty());
        let (ours, theirs) = (self.repo.beside("ours"), self.repo.beside("theirs"));
        for folder in [&ours, &theirs] {
            match fs::remove_dir_all(folder) {
                Err(error) if error.kind() != ErrorKind::NotFound => panic!("{error}"),
                _ => {}
            }
        }
        self.repo.dump_all(&image, "ours");
        let source = self.repo.path();
        let clone = [
            "clone",
            "-q",
            "--shared",
            source.to_str().unwrap(),
            "theirs",
        ];
        git(source.parent().unwrap(), &clone, b"");
        assert_eq!(files(&ours), files(&theirs));
        for question in [
            ["ls-files", "-s", "-z"].as_slice(),
            &["diff-index", "--cached", "-z", "HEAD"],
            &["write-tree"],
            &["fsck", "--no-dangling", "--connectivity-only"],
        ] {
            let ask = |folder| run(command(folder).args(question), b"");
            let (ours, theirs) = (ask(&ours), ask(&theirs));
            assert_eq!(ours.stdout, theirs.stdout, "{question:?}");
            assert_eq!(
                ours.status.success(),
                theirs.status.success(),
                "{question:?}"
            );
        }
    }
}

fn hash(repo: &TestRepo, kind: &str, bytes: &[u8]) -> ObjectId {
    let arguments = ["hash-object", "-t", kind, "-w", "--literally", "--stdin"];
    let hex = git(&repo.path(), &arguments, bytes);
    ObjectId::from_hex(hex.trim_ascii()).unwrap()
}

/// Writes a tree with its entries in this order.
fn tree(repo: &TestRepo, entries: Entries<'_>) -> ObjectId {
    let mut bytes = Vec::new();
    for (mode, name, id) in entries {
        bytes.extend(format!("{mode} {name}\0").into_bytes());
        bytes.extend(id.as_bytes());
    }
    hash(repo, "tree", &bytes)
}

/// Paths, types, permissions of the owner and contents, without `.git`.
fn files(folder: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(at) = pending.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            if path == folder.join(".git") {
                continue;
            }
            let metadata = fs::symlink_metadata(&path).unwrap();
            let content = if metadata.is_dir() {
                pending.push(path.clone());
                Vec::new()
            } else if metadata.is_symlink() {
                fs::read_link(&path)
                    .unwrap()
                    .into_os_string()
                    .into_encoded_bytes()
            } else {
                fs::read(&path).unwrap()
            };
            let name = path
                .strip_prefix(folder)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            found.insert(name, (metadata.mode() & 0o170_700, content));
        }
    }
    found
}

#[test]
fn trees_that_git_does_not_write_are_shown_as_by_git() {
    let fixture = Fixture::new();
    let ([a, b], [x, _]) = (fixture.blobs, fixture.trees);
    let commit = ObjectId::from_hex("12".repeat(20).as_bytes()).unwrap();
    let unsorted: Entries<'_> = &[("100644", "b", a), ("100755", "a", b)];
    let unsorted = tree(&fixture.repo, unsorted);
    let empty = tree(&fixture.repo, &[]);
    let with_empty = tree(&fixture.repo, &[("100644", "a", a), ("40000", "b", empty)]);
    let cases: [Entries<'_>; 21] = [
        &[("100644", "a", a), ("40000", "b", empty)],
        &[("40000", "a", empty), ("100644", "b", a)],
        &[("100644", "a", a), ("40000", "b", with_empty)],
        &[("40000", "b", empty), ("100644", "a", a)],
        &[("100644", "a", a), ("40000", "a", empty)],
        &[("40000", "a", empty), ("40000", "a", x)],
        &[("100644", "b", a), ("100644", "a", b)],
        &[("40000", "a", x), ("100644", "a.b", b)],
        &[("100644", "c", a), ("40000", "b", x), ("100644", "a", b)],
        &[("100644", "a", a), ("100644", "a", a)],
        &[("100644", "a", a), ("100755", "a", b)],
        &[("100644", "a", a), ("100644", "b", b), ("100644", "a", b)],
        &[("100644", "a", a), ("40000", "a", x)],
        &[("100644", "a", a), ("100644", "a.b", b), ("40000", "a", x)],
        &[("40000", "a", x), ("100644", "a", a)],
        &[("40000", "a", x), ("40000", "a", x)],
        &[("120000", "a", a), ("40000", "a", x)],
        &[("40000", "a", x), ("120000", "a", a)],
        &[("160000", "a", commit), ("100644", "a", a)],
        &[("100644", "a", a), ("160000", "a", commit)],
        &[
            ("100644", "z", a),
            ("40000", "s", unsorted),
            ("40000", "t", x),
        ],
    ];
    for entries in cases {
        let tree = tree(&fixture.repo, entries);
        println!("{entries:?}");
        fixture.agrees(tree);
    }
}

#[test]
fn what_is_shown_otherwise_is_said() {
    let fixture = Fixture::new();
    let [a, b] = fixture.blobs;
    let inner = tree(&fixture.repo, &[("100644", "b", a), ("100644", "a", b)]);
    let outer = tree(&fixture.repo, &[("40000", "dir", inner)]);
    let image = fixture.open(outer, &bare()).unwrap();
    let expected = format!("dir: tree {inner} has entries out of order, names twice");
    assert!(
        image.notices()[0].starts_with(&expected),
        "{:?}",
        image.notices()
    );
    assert_eq!(image.notices().len(), 1);
}

#[test]
fn what_git_refuses_is_refused_with_its_path() {
    let fixture = Fixture::new();
    let ([a, _], [x, y]) = (fixture.blobs, fixture.trees);
    let cases: [(Entries<'_>, Kind, &str); 6] = [
        (&[("40000", "GIT~1", x)], Kind::Corrupt, "\"GIT~1\""),
        (&[("100644", ".git ", a)], Kind::Corrupt, "\".git \""),
        (&[("100644", "", a)], Kind::Corrupt, "without a name"),
        (&[("120000", "gitmod~1", a)], Kind::Corrupt, "\"gitmod~1\""),
        (
            &[("40000", "a", x), ("40000", "a", y)],
            Kind::Unsupported,
            "\"a\"",
        ),
        (
            &[(
                "40000",
                ".gitmodules",
                tree(&fixture.repo, &[("120000", "l", a)]),
            )],
            Kind::Corrupt,
            ".gitmodules/l",
        ),
    ];
    for (entries, kind, words) in cases {
        let inner = tree(&fixture.repo, entries);
        let outer = tree(&fixture.repo, &[("40000", "dir", inner)]);
        let error = fixture.open(outer, &bare()).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        let error = error.to_string();
        assert!(error.contains(words) && error.contains("dir"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn random_trees_are_shown_as_by_git(
        picks in prop::collection::vec((0..5_usize, 0..4_usize, 0..2_usize), 2..7),
    ) {
        let fixture = Fixture::new();
        let modes = ["100644", "100755", "120000", "40000", "160000"];
        let names = ["a", "a.b", "a0", "b"];
        let entries: Vec<_> = picks.iter().map(|&(mode, name, id)| {
            // Only one directory: two of one name are not supported.
            let id = if mode == 3 { fixture.trees[0] } else { fixture.blobs[id] };
            (modes[mode], names[name], id)
        }).collect();
        let written = tree(&fixture.repo, &entries);
        let image = fixture.open(written, &bare()).unwrap();
        if !image.notices().is_empty() {
            fixture.agrees(written);
        }
    }
}
