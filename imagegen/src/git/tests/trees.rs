//! Which trees are accepted.

use super::*;
use crate::{error::Kind, git::Listing};

/// A tree with these entries, all of them empty.
fn tree(repo: &TestRepo, entries: &[(&str, &[u8])]) -> (ObjectId, Vec<u8>) {
    let blob = repo.hash_object("blob", b"");
    let empty = repo.hash_object("tree", b"");
    let mut bytes = Vec::new();
    for (mode, name) in entries {
        bytes.extend(mode.as_bytes());
        bytes.push(b' ');
        bytes.extend(*name);
        bytes.push(0);
        let directory = mode.trim_start_matches('0') == "40000";
        bytes.extend(if directory {
            empty.as_bytes()
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
        "100644", "100664", "100600", "100755", "100775", "100700", "100100", "120000", "120777",
        "40000", "040000", "160000", "0100644", "100000",
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

#[test]
fn names_that_git_refuses_are_refused() {
    let repo = TestRepo::new();
    let long = "x".repeat(256);
    for (mode, name) in [
        ("100644", "."),
        ("40000", ".."),
        ("40000", ".git"),
        ("40000", ".GiT"),
        ("100644", ".git"),
        ("100644", "a/b"),
        ("100644", ""),
        ("100644", long.as_str()),
        ("120000", ".gitmodules"),
    ] {
        let error = read(&repo, &[(mode, name.as_bytes())]).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{name}: {error}");
        assert!(error.to_string().contains(&format!("{name:?}")), "{error}");
    }
}

#[test]
fn names_that_git_accepts_are_accepted() {
    let repo = TestRepo::new();
    let long = "x".repeat(255);
    let names: [&[u8]; 9] = [
        b"\x01\n\t\\",
        b" ",
        b"...",
        b".gi",
        b".git ",
        b".gitmodules",
        b"git~1",
        long.as_bytes(),
        b"\xff\xfe",
    ];
    for name in names {
        let listing = read(&repo, &[("100644", name)]).unwrap();
        assert_eq!(listing.entry(0).name, name);
    }
}

#[test]
fn order_and_duplicates_are_checked() {
    let repo = TestRepo::new();
    let bad: [&[(&str, &[u8])]; 6] = [
        &[("100644", b"b"), ("100644", b"a")],
        &[("100644", b"a"), ("100644", b"a")],
        &[("100644", b"a"), ("40000", b"a")],
        &[
            ("100644", b"a"),
            ("100644", b"a-b"),
            ("100644", b"a.b"),
            ("40000", b"a"),
        ],
        &[("40000", b"a"), ("100644", b"a.b")],
        &[("40000", b"a"), ("100644", b"a")],
    ];
    for entries in bad {
        let error = read(&repo, entries).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt, "{error}");
        assert!(error.to_string().contains("\"a"), "{error}");
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
        assert_eq!(read(&repo, entries).unwrap().len(), entries.len());
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
    let mut wide_mode = b"7777777777".to_vec();
    wide_mode.extend(&whole);
    for bytes in [bad_mode, no_mode, wide_mode] {
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
