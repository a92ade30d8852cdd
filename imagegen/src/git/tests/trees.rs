//! Which trees are accepted.

use super::*;
use crate::{
    error::Kind,
    git::{Listing, tree_names::refusal},
    support::git::{command, run},
};

/// A tree with these entries, all of them empty.
fn tree(repo: &TestRepo, entries: &[(&str, &[u8])]) -> (ObjectId, Vec<u8>) {
    let blob = repo.hash_object("blob", b"");
    let of_one_file = [b"100644 f\0".as_slice(), blob.as_bytes()].concat();
    let directory = repo.hash_object("tree", &of_one_file);
    let mut bytes = Vec::new();
    for (mode, name) in entries {
        bytes.extend(mode.as_bytes());
        bytes.push(b' ');
        bytes.extend(*name);
        bytes.push(0);
        let is_directory = mode.trim_start_matches('0') == "40000";
        bytes.extend(if is_directory {
            directory.as_bytes()
        } else {
            blob.as_bytes()
        });
    }
    (repo.hash_object("tree", &bytes), bytes)
}

fn read(repo: &TestRepo, entries: &[(&str, &[u8])]) -> crate::Result<Listing> {
    let (id, _) = tree(repo, entries);
    repo.objects()
        .tree(id)
        .map(|listing| Listing::clone(&listing))
}

#[test]
fn modes_are_normalized_as_by_git() {
    let repo = TestRepo::new();
    let modes = [
        "100644",
        "100664",
        "100600",
        "100755",
        "100775",
        "100700",
        "100100",
        "120000",
        "120777",
        "40000",
        "040000",
        "160000",
        "0100644",
        "100000",
        "0",
        "644",
        "100",
        "40755",
        "20000",
        "60000",
        "10644",
        "140000",
        "150000",
        "160777",
        "170000",
        "1100644",
        "7777777777100755",
    ];
    let names = modes
        .iter()
        .enumerate()
        .map(|(at, _)| format!("e{at:02}"))
        .collect::<Vec<_>>();
    let entries = modes
        .iter()
        .zip(&names)
        .map(|(mode, name)| (*mode, name.as_bytes()))
        .collect::<Vec<_>>();
    let (id, _) = tree(&repo, &entries);
    let listing = repo.objects().tree(id).unwrap();
    let found = listing
        .iter()
        .map(|entry| format!("{:06o}", entry.mode.bits()));
    let found = found.collect::<Vec<_>>();
    let index = repo.git(&["ls-tree", &id.to_string()]);
    let expected = index
        .lines()
        .map(|line| line[..6].to_owned())
        .collect::<Vec<_>>();
    assert_eq!(found, expected);
}

/// Names around those that some system takes for `.git` or `.gitmodules`.
fn odd_names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = Vec::new();
    let stems = [
        ".git",
        ".GiT",
        "git~1",
        "GIT~1",
        "git~2",
        "git~10",
        ".gitmodules",
        ".GITMODULES",
        "gitmod~1",
        "GITMOD~4",
        "gitmod~5",
        "gi7eba~1",
        "gi7eba~9",
        "gi7eba~0",
        "GI7EB~12",
        "gi7e~123",
        "~1234567",
        "gi7ebx~1",
        "gi7eba1~",
        ".gitignore",
        ".gitattributes",
        ".g",
        "..g",
        ".g\u{200c}it",
        "\u{feff}.git",
        "CON",
        "c:",
        "x",
    ];
    let ends = [
        "",
        " ",
        ".",
        " .",
        "...",
        " x",
        "~1",
        ":",
        ":x",
        ": x",
        "\\",
        "\\x",
        "::$INDEX_ALLOCATION",
    ];
    let starts = ["", "\\", "a\\", "\\\\", "a\\b\\", " ", "."];
    for stem in stems {
        for end in ends {
            names.extend(starts.map(|start| [start, stem, end].concat().into_bytes()));
        }
    }
    names.extend([
        b".".to_vec(),
        b"..".to_vec(),
        b"...".to_vec(),
        b"\x01\n\t".to_vec(),
    ]);
    names.extend([vec![b'x'; 255], b"\xff\xfe".to_vec(), b"\\".to_vec()]);
    names
}

/// The names that git's `verify_path` refuses, as every checkout does: here
/// `git update-index` says which ones it ignores.
fn ignored(repo: &TestRepo, mode: EntryMode, names: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let id = "12".repeat(20);
    let start = format!("{:o} {id}\t", mode.bits());
    let line = |name: &Vec<u8>| [start.as_bytes(), name.as_slice(), b"\0"].concat();
    let lines: Vec<u8> = names.iter().flat_map(line).collect();
    let mut command = command(&repo.path());
    let said = run(command.args(["update-index", "-z", "--index-info"]), &lines).stderr;
    let ignores = |name: &&Vec<u8>| {
        let line = [b"Ignoring path ", name.as_slice(), b"\n"].concat();
        said.windows(line.len()).any(|window| window == line)
    };
    names.iter().filter(ignores).cloned().collect()
}

#[test]
fn names_are_refused_as_by_git() {
    let repo = TestRepo::new();
    let mut names = odd_names();
    names.sort();
    names.dedup();
    for (mode, least) in [(EntryMode::File, 100), (EntryMode::Symlink, 200)] {
        let refused = |name: &&Vec<u8>| refusal(name, mode).is_some();
        let refused: Vec<_> = names.iter().filter(refused).cloned().collect();
        assert!(refused.len() > least, "{}", refused.len());
        assert_eq!(refused, ignored(&repo, mode, &names));
    }
}

#[test]
fn names_that_no_file_system_has_are_refused() {
    let repo = TestRepo::new();
    let long = "x".repeat(256);
    for name in ["a/b", "", long.as_str()] {
        let error = read(&repo, &[("100644", name.as_bytes())]).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{name}: {error}");
        assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
    }
}

#[test]
fn order_and_duplicates_are_noticed() {
    let repo = TestRepo::new();
    let bad: [&[(&str, &[u8])]; 6] = [
        &[("100644", b"b"), ("100644", b"a")],
        &[("100644", b"a"), ("100755", b"a")],
        &[("40000", b"a"), ("100644", b"a")],
        &[
            ("40000", b"a"),
            ("100644", b"a-b"),
            ("100644", b"a.b"),
            ("100644", b"a"),
        ],
        &[("40000", b"a"), ("100644", b"a.b")],
        &[("40000", b"a"), ("40000", b"a")],
    ];
    for entries in bad {
        let listing = read(&repo, entries).unwrap();
        assert!(!listing.is_canonical(), "{entries:?}");
        let names: Vec<_> = listing.iter().map(|entry| entry.name.to_vec()).collect();
        assert!(names.is_sorted() || entries.len() == 2, "{names:?}");
        let (_, last) = entries.last().unwrap();
        assert_eq!(names.iter().filter(|name| name == last).count(), 1);
    }
    let good: [&[(&str, &[u8])]; 3] = [
        &[("100644", b"a"), ("100644", b"a.b"), ("40000", b"a0")],
        &[
            ("100644", b"a.b"),
            ("40000", b"a"),
            ("100644", b"a0"),
            ("100644", b"ab"),
        ],
        &[("40000", b"a"), ("40000", b"ab"), ("100644", b"b")],
    ];
    for entries in good {
        let listing = read(&repo, entries).unwrap();
        assert!(listing.is_canonical());
        assert_eq!(listing.len(), entries.len());
    }
}

#[test]
fn malformed_trees_are_refused() {
    let repo = TestRepo::new();
    let (_, whole) = tree(&repo, &[("100644", b"a"), ("40000", b"b")]);
    for length in (1..whole.len()).filter(|length| *length != whole.len() - 28) {
        let cut = repo.hash_object("tree", &whole[..length]);
        match repo.objects().tree(cut) {
            Ok(listing) => assert_eq!(listing.len(), 1, "{length}"),
            Err(error) => assert_eq!(error.kind(), Kind::Corrupt, "{error}"),
        }
    }
    let mut bad_mode = whole.clone();
    bad_mode[2] = b'9';
    let mut no_mode = whole.clone();
    no_mode[0] = b' ';
    for bytes in [bad_mode, no_mode] {
        let id = repo.hash_object("tree", &bytes);
        assert_eq!(repo.objects().tree(id).unwrap_err().kind(), Kind::Corrupt);
    }
    // An entry with the mode of a blob and the id of a tree.
    let empty = repo.hash_object("tree", b"");
    let bytes = [b"100644 x\0", empty.as_bytes()].concat();
    let error = repo
        .objects()
        .tree(repo.hash_object("tree", &bytes))
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.to_string().starts_with("x: "), "{error}");
}
