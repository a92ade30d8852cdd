//! `.git/index`, read from the image by git.

use std::fs;

use imagegen::{
    git::ObjectId,
    image::{FileTime, Image, IndexVersion, Options},
};
use sha1::{Digest, Sha1};
use sha2::Sha256;

use crate::{
    harness::{Files, TestRepo, file, link, mixed, whole},
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

/// Several hundred files, so that the places of most are between those that the
/// plan knows, in directories that sort around them.
pub(crate) fn many() -> Files {
    let paths = (0..700).map(|number| match number % 7 {
        0 => format!("{number}"),
        1 | 2 => format!("d{}/f{number}", number % 11),
        3 => format!("d{number}-x"),
        4 => format!("d{}/e/{}{number}", number % 11, "n".repeat(number % 200)),
        5 => format!("d{}/e.{number}", number % 5),
        _ => format!("z/{}/{number}", number % 3),
    });
    paths.flat_map(|path| file(path, "x")).collect()
}

/// The index in reads of these lengths, one after the other.
fn in_pieces(image: &Image, at: u64, length: usize, pieces: &[usize]) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let (mut done, mut pieces) = (0, pieces.iter().cycle());
    while done < length {
        let end = length.min(done + pieces.next().unwrap());
        let offset = at + u64::try_from(done).unwrap();
        image.read_at(offset, &mut bytes[done..end]).unwrap();
        done = end;
    }
    bytes
}

#[test]
fn every_part_of_either_version_is_read_alone() {
    for format in ["sha1", "sha256"] {
        let repo = TestRepo::with(format);
        let head = repo.import(&many());
        for (version, fsmonitor) in [
            (IndexVersion::V2, false),
            (IndexVersion::V2, true),
            (IndexVersion::V4, false),
        ] {
            let options = Options {
                index: version,
                fsmonitor,
                ..Options::default()
            };
            let image = repo.open(head, &options).unwrap();
            let index = repo.dump(&image, "/.git/index");
            assert_eq!(index[4..8], version.number().to_be_bytes());
            assert_eq!(listed(&repo, &index), expected(&repo));
            let at = (0..image.size())
                .step_by(4096)
                .find(|&offset| image.describe(offset) == ".git/index")
                .unwrap();
            for pieces in [&[4096][..], &[1, 61, 3, 700], &[13_001, 7], &[1 << 20]] {
                // Of an image that has read nothing yet.
                let image = image.restamped(0, 0, None);
                let read = in_pieces(&image, at, index.len(), pieces);
                assert!(
                    read == index,
                    "{format} {version:?} {fsmonitor} in {pieces:?}"
                );
            }
        }
    }
}

#[test]
fn owner_and_time_change_the_index_and_cost_no_plan() {
    let (repo, head) = TestRepo::holding(&many());
    let image = repo.open(head, &Options::default()).unwrap();
    let mtime = "1800000000.25".parse().unwrap();
    let options = Options {
        uid: 7,
        gid: 8,
        mtime: Some(mtime),
        ..Options::default()
    };
    let other = image.restamped(7, 8, Some(mtime));
    assert!(whole(&other) == whole(&repo.open(head, &options).unwrap()));
    assert_eq!(
        listed(&repo, &repo.dump(&other, "/.git/index")),
        expected(&repo)
    );
    assert_eq!(other.mtime(), mtime);
    assert_eq!(image.mtime().seconds(), 1_700_000_100, "that of the commit");
}

#[test]
fn commits_before_1980_have_files_of_1980() {
    let repo = TestRepo::new();
    repo.import(&file("a", "a"));
    let tree = repo.git(&["rev-parse", "HEAD^{tree}"]);
    let commit = repo.git(&[
        "-c",
        "user.name=A",
        "-c",
        "user.email=a@b",
        "commit-tree",
        "-m",
        "",
        tree.trim(),
    ]);
    let text = repo.git(&["cat-file", "commit", commit.trim()]);
    let old = text.replace(" 1700000100 ", " 5 ");
    assert_ne!(old, text);
    fs::write(repo.beside("commit"), old).unwrap();
    let path = repo.beside("commit");
    let arguments = ["hash-object", "-t", "commit", "-w", path.to_str().unwrap()];
    let id = repo.git(&arguments);
    let head = repo.id(id.trim());
    let image = repo.open(head, &Options::default()).unwrap();
    assert_eq!(image.mtime(), FileTime::FIRST_OF_ZIP);
}

/// What a clone of an empty repository has.
#[test]
fn an_unborn_branch_has_no_index() {
    let repo = TestRepo::new();
    let null = ObjectId::from_hex(&[b'0'; 40]).unwrap();
    let options = Options {
        head: Some("main".into()),
        ..Options::default()
    };
    let image = repo.open(null, &options).unwrap();
    let found = (0..image.size())
        .step_by(4096)
        .any(|offset| image.describe(offset) == ".git/index");
    assert!(!found);
    assert_eq!(repo.dump(&image, "/.git/HEAD"), b"ref: refs/heads/main\n");
}
