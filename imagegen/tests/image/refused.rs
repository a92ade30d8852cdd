//! Commits without an image: opening them is an error that names the cause, and
//! takes neither long nor much memory.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use imagegen::Kind;
use imagegen::git::ObjectId;
use imagegen::image::{Image, Options};

use crate::harness::{Files, TestRepo, bare, file, link, mixed};

/// Asserts that opening fails with this kind, and with these words in the
/// message.
fn assert_refused(image: imagegen::Result<Image>, kind: Kind, words: &[&str]) {
    let Err(error) = image else {
        panic!("opened, without {words:?}")
    };
    assert_eq!(error.kind(), kind, "{error}");
    for word in words {
        assert!(
            error.to_string().contains(word),
            "{word:?} is not in: {error}"
        );
    }
}

fn refuse(files: &Files, words: &[&str]) {
    let (repo, head) = TestRepo::holding(files);
    let commit = head.to_string();
    let words = [words, &[&commit]].concat();
    for options in [bare(), Options::default()] {
        assert_refused(repo.open(head, &options), Kind::Unsupported, &words);
    }
}

#[test]
fn empty_and_overlong_symlinks() {
    refuse(
        &link("some/dir/nothing", 0),
        &["some/dir: nothing", "0 bytes"],
    );
    refuse(
        &link("some/dir/much", 4096),
        &["some/dir: much", "4096 bytes"],
    );
    refuse(&link("much", 5000), &["much", "5000 bytes"]);
}

#[test]
fn a_path_longer_than_git_checks_out() {
    let path = |last: usize| format!("{}{}", "directory/".repeat(400), "f".repeat(last));
    let (repo, head) = TestRepo::holding(&file(path(95), "4095 bytes of path\n"));
    repo.open(head, &Options::default()).unwrap();
    refuse(&file(path(96), ""), &["directory/directory/"]);
    refuse(
        &file(format!("{}f", "directory/".repeat(410)), ""),
        &["directory/directory/"],
    );
}

#[test]
fn five_thousand_nested_trees() {
    refuse(
        &file(format!("{}file", "d/".repeat(5000)), "deep\n"),
        &["d/d/d/d"],
    );
}

/// Each byte of attributes costs some 20 bytes while an image is planned.
#[test]
fn more_attributes_in_force_than_the_limit() {
    let half = "a eol=crlf\n".repeat((1 << 19) / 11);
    let mut files = file(".gitattributes", half.clone());
    files.extend(file("beside/.gitattributes", half.clone()));
    let (repo, head) = TestRepo::holding(&files);
    repo.open_live(head, &bare()).unwrap();
    files.extend(file("beside/below/.gitattributes", half));
    refuse(&files, &["beside/below", ".gitattributes", "--attributes"]);
}

#[test]
fn a_missing_blob_or_tree() {
    let repo = TestRepo::new();
    let lost = "12".repeat(20);
    let inner = repo.tree(&format!("100644 blob {lost}\tlost file\n"));
    let head = repo.commit(repo.tree(&format!("040000 tree {inner}\tinner\n")));
    let words = ["inner", "lost file", &lost];
    assert_refused(repo.open_live(head, &bare()), Kind::NotFound, &words);
    assert_refused(repo.open(head, &Options::default()), Kind::NotFound, &words);
    let head = repo.commit(repo.tree(&format!("040000 tree {lost}\tlost tree\n")));
    let words = ["lost tree", &lost];
    assert_refused(repo.open_live(head, &bare()), Kind::NotFound, &words);
}

/// The peak memory of this process in KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Nested trees, each with the next one ten times, and `inner` in the last.
fn bomb(repo: &TestRepo, inner: ObjectId, levels: usize) -> ObjectId {
    (0..levels).fold(inner, |inner, _| {
        let lines = (0..10).fold(String::new(), |mut lines, number| {
            writeln!(lines, "040000 tree {inner}\tt{number}").unwrap();
            lines
        });
        repo.tree(&lines)
    })
}

/// In a process of its own, so that the memory of other tests does not count.
#[test]
fn a_few_trees_with_ten_thousand_million_files() {
    let mut alone = Command::new(env::current_exe().unwrap());
    let output = alone
        .args(["--ignored", "--exact", "refused::bombs"])
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "{stdout}"
    );
}

#[test]
#[ignore = "the test above runs it alone"]
fn bombs() {
    let repo = TestRepo::new();
    let (one, _) = TestRepo::holding(&file("f", "boom\n"));
    repo.git(&["fetch", "-q", one.path().to_str().unwrap(), "main"]);
    let inner = repo.id("FETCH_HEAD^{tree}");
    let many = (0..500_000).fold(String::new(), |mut lines, number| {
        writeln!(lines, "040000 tree {inner}\t{number:06}").unwrap();
        lines
    });
    let many = repo.tree(&many);
    for tree in [
        bomb(&repo, inner, 10),
        bomb(&repo, inner, 30),
        bomb(&repo, many, 1),
    ] {
        let head = repo.commit(tree);
        let start = Instant::now();
        let words = [head.to_string(), "more than".into()];
        let words = words.each_ref().map(String::as_str);
        assert_refused(repo.open(head, &bare()), Kind::Unsupported, &words);
        let (time, peak) = (start.elapsed(), peak());
        assert!(time < Duration::from_secs(10), "{time:?}");
        assert!(peak < 300 << 10, "{peak} KiB");
        println!("{time:?}, {peak} KiB");
    }
}

#[test]
fn a_few_trees_with_many_files_within_the_limits() {
    let (repo, head) = TestRepo::holding(&file("f", "boom\n"));
    let inner = repo.id(&format!("{head}^{{tree}}"));
    let head = repo.commit(bomb(&repo, inner, 4));
    let image = repo.open(head, &bare()).unwrap();
    assert_eq!((image.directories(), image.files()), (11_111, 10_000));
}

#[test]
fn ids_that_are_not_commits() {
    let (repo, head) = TestRepo::holding(&mixed());
    let hex = |hex: &str| ObjectId::from_hex(hex.as_bytes()).unwrap();
    for id in [hex(&"ff".repeat(20)), hex(&"12".repeat(32))] {
        assert_refused(
            repo.open_live(id, &bare()),
            Kind::NotFound,
            &[&id.to_string()],
        );
        assert_refused(repo.open(id, &bare()), Kind::NotFound, &[&id.to_string()]);
    }
    for rev in ["main^{tree}", "main:README"] {
        let id = repo.id(rev);
        assert_refused(
            repo.open_live(id, &bare()),
            Kind::Corrupt,
            &[&id.to_string()],
        );
    }
    let empty = TestRepo::new();
    assert_refused(
        empty.open_live(head, &bare()),
        Kind::NotFound,
        &[&head.to_string()],
    );
    assert_refused(
        empty.open(head, &Options::default()),
        Kind::NotFound,
        &[&head.to_string()],
    );
}

#[test]
fn a_subtree_that_is_not_a_directory() {
    let (repo, head) = TestRepo::holding(&mixed());
    for path in [
        "absent",
        "README",
        "sub/absent/deep",
        "module",
        "fast",
        "sub/..",
        "\0",
    ] {
        let options = Options {
            path: path.into(),
            ..Options::default()
        };
        assert_refused(
            repo.open(head, &options),
            Kind::NotFound,
            &[&format!("{path:?}")],
        );
    }
}

#[test]
fn more_free_space_than_16_tib() {
    let (repo, head) = TestRepo::holding(&mixed());
    for free in [1 << 44, 1 << 60, u64::MAX] {
        let options = Options {
            free,
            ..Options::default()
        };
        assert_refused(repo.open(head, &options), Kind::Unsupported, &["16 TiB"]);
    }
}
