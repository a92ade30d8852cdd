//! e2fsprogs report no error and read what was committed.

use std::process::Command;

use imagegen::image::Options;

use crate::{
    harness::{Files, TestRepo, bare, file, link, mixed},
    support::e2fsprogs::{assert_clean, run},
};

/// Asserts that the image passes e2fsck, with and without `.git`.
fn check(files: &Files) {
    let (repo, head) = TestRepo::holding(files);
    for options in [bare(), Options::default()] {
        let image = repo.open(head, &options).unwrap();
        assert_clean(&repo.write(&image));
    }
}

#[test]
fn the_empty_tree() {
    check(&Vec::new());
}

#[test]
fn one_file() {
    check(&file("only", "one file\n"));
}

#[test]
fn one_of_everything() {
    check(&mixed());
}

#[test]
fn a_sha256_repository() {
    let repo = TestRepo::with("sha256");
    let head = repo.import(&[file("a/b", "bytes"), link("c", 100)].concat());
    let image = repo.open(head, &Options::default()).unwrap();
    assert_clean(&repo.write(&image));
}

#[test]
fn names_of_255_bytes_at_every_offset_in_a_block() {
    let name = |at: usize| format!("{at:03}{}", "é".repeat(126));
    check(
        &(0..40)
            .flat_map(|at| file(name(at), "x".repeat(at)))
            .collect(),
    );
}

#[test]
fn symlinks_with_and_without_a_block() {
    let lengths = [1, 59, 60, 61, 4095];
    check(
        &lengths
            .iter()
            .flat_map(|length| link(format!("to{length}"), *length))
            .collect(),
    );
}

#[test]
fn seventy_levels() {
    let path = |depth: usize| format!("{}file", "d/".repeat(depth));
    check(
        &(0..=70)
            .flat_map(|depth| file(path(depth), "at this depth\n"))
            .collect(),
    );
}

#[test]
fn a_gitlink_is_an_empty_directory() {
    let gitlink = ("160000", "module".to_owned(), "12".repeat(20).into_bytes());
    check(&vec![gitlink]);
}

#[test]
fn twenty_thousand_entries_in_an_index() {
    let files = (0..20_000).flat_map(|at| file(format!("many/entry number {at}"), "same\n"));
    let (repo, head) = TestRepo::holding(&files.collect());
    let image = repo.open(head, &bare()).unwrap();
    let disk = repo.write(&image);
    assert_clean(&disk);
    let (output, _) = run("debugfs", &["-R", "stat /many"], &disk);
    assert!(
        output.contains("Flags: 0x81000"),
        "an index and extents: {output}"
    );
    let (output, _) = run(
        "debugfs",
        &["-R", "cat \"/many/entry number 19999\""],
        &disk,
    );
    assert_eq!(output, "same\n");
}

#[test]
fn a_file_with_converted_line_endings() {
    let (repo, head) = TestRepo::holding(&mixed());
    let image = repo.open(head, &bare()).unwrap();
    assert_eq!(repo.dump(&image, "/wide/lines.txt"), b"one\r\ntwo\r\n");
    assert_clean(&repo.write(&image));
}

#[test]
fn a_file_of_many_blocks() {
    let large = vec![b'l'; 5 << 20];
    check(&[file("large", large), file("small", "small")].concat());
}

/// A number in the superblock, from the output of dumpe2fs.
fn counted(output: &str, field: &str) -> u64 {
    let line = output.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.trim().parse().ok())
        .unwrap_or_else(|| panic!("{field}: {output}"))
}

#[test]
fn there_is_at_least_the_requested_free_space() {
    let (repo, head) = TestRepo::holding(&mixed());
    for free in [1, 4096, 1 << 20, (1 << 30) + 1, 1 << 40] {
        let options = Options {
            free,
            ..Options::default()
        };
        let disk = repo.write(&repo.open(head, &options).unwrap());
        let (output, _) = run("dumpe2fs", &["-h"], &disk);
        assert!(
            counted(&output, "Free blocks:") * 4096 >= free,
            "{free}: {output}"
        );
        assert!(
            counted(&output, "Free inodes:") >= free / 16384,
            "{free}: {output}"
        );
        assert_eq!(counted(&output, "Reserved block count:"), 0);
        if free < 1 << 40 {
            assert_clean(&disk);
        }
    }
}

#[test]
fn every_inode_has_the_requested_owner() {
    let (repo, head) = TestRepo::holding(&mixed());
    let options = Options {
        uid: 70_000,
        gid: 80_000,
        ..Options::default()
    };
    let disk = repo.write(&repo.open(head, &options).unwrap());
    assert_clean(&disk);
    for path in [
        "/",
        "/README",
        "/fast",
        "/sub/slow",
        "/sub/run",
        "/module",
        "/.git/index",
    ] {
        let (output, _) = run("debugfs", &["-R", &format!("stat {path}")], &disk);
        let words = output.split_whitespace().collect::<Vec<_>>();
        let after = |key: &str| {
            words
                .iter()
                .skip_while(|word| **word != key)
                .nth(1)
                .copied()
        };
        assert_eq!(
            (after("User:"), after("Group:")),
            (Some("70000"), Some("80000")),
            "{output}"
        );
    }
}

#[test]
fn git_finds_every_file_unchanged() {
    let (repo, head) = TestRepo::holding(&mixed());
    let image = repo.open(head, &bare()).unwrap();
    let copy = repo.dump_all(&image, "all");
    let work_tree = format!("--work-tree={}", copy.display());
    repo.git(&[&work_tree, "read-tree", "HEAD"]);
    assert_eq!(
        repo.git(&[&work_tree, "status", "--porcelain", "--ignored"]),
        ""
    );
    let stat = Command::new("stat")
        .args(["-c", "%a"])
        .arg(copy.join("sub/run"))
        .output()
        .unwrap();
    assert_eq!(stat.stdout, b"755\n");
}
