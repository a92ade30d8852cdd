//! `.git/index`, read from the image by git.

use std::fs;

use imagegen::image::Options;
use sha1::{Digest, Sha1};
use sha2::Sha256;

use crate::{
    harness::{TestRepo, file, link, mixed},
    support::git::command,
};

/// The entries that git reads from an index, a line each.
fn listed(repo: &TestRepo, index: &[u8]) -> String {
    fs::write(repo.beside("index"), index).unwrap();
    let mut git = command(&repo.path());
    git.args(["ls-files", "--stage"])
        .env("GIT_INDEX_FILE", repo.beside("index"));
    let output = git.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The same entries from the tree.
fn expected(repo: &TestRepo) -> String {
    let format = "--format=%(objectmode) %(objectname) 0%x09%(path)";
    repo.git(&["ls-tree", "-r", format, "HEAD"])
}

#[test]
fn git_reads_the_entries_of_the_tree() {
    let names = ["a", "a-b", "a.b/c", "a0", "ab/c"];
    let sorting = names
        .into_iter()
        .flat_map(|name| file(name, name))
        .collect();
    let unusual = [
        file("\"tab\\there\"", "t"),
        file("dir/\"quote\"", "q"),
        link("l", 9),
    ];
    for files in [Vec::new(), mixed(), sorting, unusual.concat()] {
        let (repo, head) = TestRepo::holding(&files);
        let index = repo.dump(
            &repo.open(head, &Options::default()).unwrap(),
            "/.git/index",
        );
        let (body, hash) = index.split_at(index.len() - 20);
        assert_eq!(
            Sha1::digest(body).as_slice(),
            hash,
            "it has the planned length"
        );
        assert_eq!(listed(&repo, &index), expected(&repo));
    }
}

/// The length of the index depends on the common prefixes of consecutive paths.
#[test]
fn the_planned_length_accounts_for_common_prefixes() {
    let repo = TestRepo::new();
    let empty = repo.tree("");
    let (file, link) = ("12".repeat(20), "34".repeat(20));
    let leaf = repo.tree(&format!(
        "160000 commit {link}\taaa\n160000 commit {file}\taab\n"
    ));
    let hollow = repo.tree(&format!(
        "040000 tree {empty}\ta\n040000 tree {empty}\tab\n"
    ));
    let long = "l".repeat(200);
    let inner = repo.tree(&format!(
        "040000 tree {empty}\ta\n040000 tree {leaf}\tab\n160000 commit {link}\tab-\n\
         040000 tree {hollow}\tabc\n160000 commit {link}\tabcd\n040000 tree {leaf}\t{long}\n\
         040000 tree {leaf}\t{long}l\n"
    ));
    let root = repo.tree(&format!(
        "040000 tree {hollow}\ta\n040000 tree {inner}\tin\n040000 tree {inner}\tinner\n\
         040000 tree {hollow}\tinner0\n160000 commit {link}\tinner00\n"
    ));
    for tree in [root, inner, leaf, hollow, empty] {
        let head = repo.commit(tree);
        let index = repo.dump(
            &repo.open(head, &Options::default()).unwrap(),
            "/.git/index",
        );
        let (body, hash) = index.split_at(index.len() - 20);
        assert_eq!(Sha1::digest(body).as_slice(), hash);
        assert_eq!(listed(&repo, &index), expected(&repo));
    }
}

#[test]
fn the_cached_trees_are_those_of_the_commit() {
    let (repo, head) = TestRepo::holding(&mixed());
    let index = repo.dump(
        &repo.open(head, &Options::default()).unwrap(),
        "/.git/index",
    );
    fs::write(repo.path().join(".git/index"), &index).unwrap();
    let written = repo.git(&["-c", "core.fsmonitor=false", "write-tree"]);
    assert_eq!(written, repo.git(&["rev-parse", "HEAD^{tree}"]));
    assert_eq!(repo.git(&["fsck", "--strict", "--cache"]), "");
}

#[test]
fn an_index_of_a_sha256_repository_has_a_sha256_checksum() {
    let repo = TestRepo::with("sha256");
    let head = repo.import(&[file("a/b", "bytes"), link("c", 100)].concat());
    let index = repo.dump(
        &repo.open(head, &Options::default()).unwrap(),
        "/.git/index",
    );
    let (body, hash) = index.split_at(index.len() - 32);
    assert_eq!(Sha256::digest(body).as_slice(), hash);
    assert_eq!(listed(&repo, &index), expected(&repo));
}
