//! `blockd image`: the same files as a checkout, in a file system without a
//! fault, the same bytes every time.

use std::path::Path;

use crate::harness::{
    Fixture, TestBlockd, TestImage, TestRepo, Tree, program, requires, run, sha256_of, stdout,
};

/// e2fsck, ext4-view and debugfs agree with git about this commit.
#[track_caller]
fn judge(repo: &TestRepo, revision: &str, options: &str, state: &Path) {
    let what = format!("{}@{revision}{options}", repo.name());
    let image = TestImage::of(&spec(repo, revision, options), state);
    image.assert_clean();
    let checkout = Tree::of_folder(repo.checkout(revision).path());
    Tree::of_image(image.path()).assert_same_as(&checkout, &format!("{what} by ext4-view"));
    Tree::of_folder(image.dump().path()).assert_same_as(&checkout, &format!("{what} by debugfs"));
}

fn spec(repo: &TestRepo, revision: &str, options: &str) -> String {
    format!("{}@{revision}{options}", repo.path().display())
}

/// Every commit without history, and the newest with it.
#[track_caller]
fn judge_all(repo: &TestRepo) {
    let state = tempfile::tempdir().unwrap();
    let commits = repo.commits();
    assert!(!commits.is_empty());
    for commit in &commits {
        judge(repo, commit, ":history=none", state.path());
    }
    judge(repo, &commits[0], "", state.path());
}

#[test]
fn every_shape_of_name_size_mode_and_nesting() {
    judge_all(&Fixture::get("shapes").repo("shapes"));
}

#[test]
fn attributes_change_bytes_as_in_a_checkout() {
    let repo = Fixture::get("attributes").repo("attributes");
    let raw = Tree::of_folder(repo.checkout("main~4").path());
    let converted = Tree::of_folder(repo.checkout("main").path());
    assert_ne!(
        raw, converted,
        "git converts nothing here, so this shows nothing"
    );
    judge_all(&repo);
}

#[test]
fn large_files() {
    let repo = Fixture::get("large").repo("large");
    let state = tempfile::tempdir().unwrap();
    for (revision, options) in [("main~2", ""), ("main~1", ""), ("main", ":history=none")] {
        judge(&repo, revision, options, state.path());
    }
}

#[test]
fn a_folder_of_100_000_entries() {
    judge_wide("main~1", "wide", 100_000);
}

#[test]
fn a_folder_of_70_000_folders() {
    judge_wide("main", "folders", 70_000);
}

/// debugfs lists what ext4-view found; writing so many files twice tells no more.
fn judge_wide(revision: &str, folder: &str, entries: usize) {
    let repo = Fixture::get("wide").repo("wide");
    let state = tempfile::tempdir().unwrap();
    let image = TestImage::of(&spec(&repo, revision, ""), state.path());
    image.assert_clean();
    let checkout = Tree::of_folder(repo.checkout(revision).path());
    assert!(checkout.len() > entries);
    Tree::of_image(image.path()).assert_same_as(&checkout, folder);
    let list = format!("ls -p /{folder}");
    let listed = stdout(program("debugfs").args(["-R", &list]).arg(image.path()));
    let names = listed.lines().filter(|line| line.starts_with('/')).count();
    assert_eq!(names, entries + 2, "debugfs counts . and .. too");
}

#[test]
fn every_way_git_stores_objects() {
    let fixture = Fixture::get("storage");
    let state = tempfile::tempdir().unwrap();
    let names = [
        "loose",
        "packs",
        "alternates",
        "sha256",
        "refs",
        "checkout",
        "linked",
        "shallow",
    ];
    for name in names {
        let repo = fixture.repo(name);
        judge(&repo, "HEAD", "", state.path());
        let older = if name == "shallow" {
            "HEAD~4"
        } else {
            "HEAD~20"
        };
        judge(&repo, older, ":history=none", state.path());
    }
}

#[test]
fn options_change_what_they_say() {
    let repo = Fixture::get("history").repo("history");
    let state = tempfile::tempdir().unwrap();
    let owned = TestImage::of(&spec(&repo, "main", ":uid=1234:gid=2345"), state.path());
    owned.assert_clean();
    let stat = stdout(
        program("debugfs")
            .args(["-R", "stat /README.md"])
            .arg(owned.path()),
    );
    assert!(stat.contains("User:  1234   Group:  2345"), "{stat}");

    let subtree = TestImage::of(&spec(&repo, "main", ":path=src/part3"), state.path());
    subtree.assert_clean();
    let checkout = repo.checkout("main");
    let expected = Tree::of_folder(&checkout.path().join("src/part3"));
    Tree::of_image(subtree.path()).assert_same_as(&expected, "path=src/part3");

    let roomy = TestImage::of(
        &spec(&repo, "main", ":history=none:free=300M"),
        state.path(),
    );
    roomy.assert_clean();
    let said = stdout(program("dumpe2fs").arg("-h").arg(roomy.path()));
    let free = said
        .lines()
        .find_map(|line| line.strip_prefix("Free blocks:"))
        .unwrap();
    assert!(
        free.trim().parse::<u64>().unwrap() * 4096 >= 300 << 20,
        "{said}"
    );
}

#[test]
fn no_history_means_no_git_folder() {
    let repo = Fixture::get("history").repo("history");
    let state = tempfile::tempdir().unwrap();
    for (options, present) in [("", true), (":history=none", false)] {
        let image = TestImage::of(&spec(&repo, "main", options), state.path());
        let names = stdout(program("debugfs").args(["-R", "ls -p /"]).arg(image.path()));
        assert_eq!(names.contains("/.git/"), present, "{options}: {names}");
    }
}

#[test]
fn the_file_is_sparse() {
    let repo = Fixture::get("history").repo("history");
    let state = tempfile::tempdir().unwrap();
    let image = TestImage::of(&spec(&repo, "main", ":free=1G"), state.path());
    let said = stdout(program("stat").args(["-c", "%s %b %B"]).arg(image.path()));
    let numbers: Vec<u64> = said.split(' ').map(|word| word.parse().unwrap()).collect();
    let (size, used) = (numbers[0], numbers[1] * numbers[2]);
    assert!(
        size > 1 << 30 && used < size / 8,
        "{used} of {size} bytes are on disk"
    );
}

#[test]
fn the_same_bytes_by_file_by_server_and_after_a_restart() {
    requires("nbdcopy");
    let fixture = Fixture::get("storage");
    for name in ["packs", "sha256"] {
        let repo = fixture.repo(name);
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = TestImage::of(&spec(&repo, "HEAD", ""), one.path()).sha256();
        assert_eq!(
            TestImage::of(&spec(&repo, "HEAD", ""), two.path()).sha256(),
            first
        );
        for state in [&one, &two, &one] {
            let server = TestBlockd::serve_with_state(fixture.folder(), state.path());
            assert_eq!(copied(&server, &format!("{name}@HEAD")), first, "{name}");
            server.stop();
        }
    }
}

/// The digest of an export as nbdcopy reads it.
fn copied(server: &TestBlockd, export: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("copy");
    run(program("nbdcopy").arg(server.uri(export)).arg(&file));
    sha256_of(&file)
}
