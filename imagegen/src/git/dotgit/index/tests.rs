//! git reads the encoded index, and writes the same bytes.

#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that fails may panic"
)]

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::Path,
    time::{Duration, SystemTime},
};

use gix::{ObjectId, bstr::ByteSlice, hash::Kind};
use proptest::prelude::*;

use super::{Counter, Encoder, Form, Hasher, Sink, Stat, Version, recorded_size};
use crate::git::{EntryMode, tests::is_git_older, vanilla::Vanilla};

const KINDS: [Kind; 2] = [Kind::Sha1, Kind::Sha256];

type Entries = Vec<(u32, ObjectId, Vec<u8>)>;

/// A directory of the `TREE` extension, its subdirectories in git's order.
#[derive(Default)]
struct Tree {
    id: Option<ObjectId>,
    entries: u32,
    below: BTreeMap<(usize, Vec<u8>), Self>,
}

impl Tree {
    /// The directories of git's index.
    fn of(git: &Vanilla, entries: &Entries) -> Self {
        let mut root = Self::default();
        let top = git.line(["write-tree"]);
        root.at(b"").id = Some(ObjectId::from_hex(top.as_bytes()).unwrap());
        let listing = git.git(["ls-tree", "-r", "-t", "-z", &top]);
        for line in listing
            .split(|&byte| byte == 0)
            .filter(|line| line.starts_with(b"04"))
        {
            let (words, path) = line.split_once_str("\t").unwrap();
            let id = words.rsplit_once_str(" ").unwrap().1;
            root.at(path).id = Some(ObjectId::from_hex(id).unwrap());
        }
        for (_, _, path) in entries {
            let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            for (end, _) in ends {
                root.at(&path[..end]).entries += 1;
            }
            root.entries += 1;
        }
        root
    }

    fn at(&mut self, path: &[u8]) -> &mut Self {
        let names = path.split_str("/").filter(|name| !name.is_empty());
        names.fold(self, |tree, name| {
            tree.below.entry((name.len(), name.to_vec())).or_default()
        })
    }

    fn drive<S: Sink>(&self, name: &[u8], encoder: &mut Encoder<S>) {
        encoder.tree(&self.named(name));
        for ((_, name), tree) in &self.below {
            tree.drive(name, encoder);
        }
    }

    fn named<'a>(&'a self, name: &'a [u8]) -> super::Tree<'a> {
        super::Tree {
            name,
            entries: Some(self.entries),
            subtrees: u32::try_from(self.below.len()).unwrap(),
            id: self.id.as_ref().unwrap(),
        }
    }

    /// The length of the extension.
    fn length(&self, name: &[u8]) -> u64 {
        let below = self.below.iter();
        let below: u64 = below.map(|((_, name), tree)| tree.length(name)).sum();
        self.named(name).length() + below
    }
}

fn drive<S: Sink>(
    sink: S,
    form: Form,
    entries: &Entries,
    tree: &Tree,
    stat: impl Fn(&[u8]) -> Stat,
) -> S {
    let mut encoder = Encoder::new(sink, u32::try_from(entries.len()).unwrap(), form);
    for (mode, id, path) in entries {
        encoder.entry(path, EntryMode::from_bits(*mode), id, &stat(path));
    }
    encoder.trees(u32::try_from(tree.length(b"")).unwrap());
    tree.drive(b"", &mut encoder);
    encoder.finish()
}

/// The entries of git's index.
fn staged(git: &Vanilla) -> Entries {
    let listing = git.git(["ls-files", "--stage", "-z"]);
    let lines = listing
        .split(|&byte| byte == 0)
        .filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (words, path) = line.split_once_str("\t").unwrap();
            let words: Vec<_> = words.to_str().unwrap().split(' ').collect();
            let id = ObjectId::from_hex(words[1].as_bytes()).unwrap();
            (u32::from_str_radix(words[0], 8).unwrap(), id, path.to_vec())
        })
        .collect()
}

/// Replaces git's index; it gets a later time than every file.
fn install(git: &Vanilla, bytes: &[u8]) {
    let path = git.join(".git/index");
    fs::write(&path, bytes).unwrap();
    let later = SystemTime::now() + Duration::from_secs(10);
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(later)
        .unwrap();
}

/// Encodes the entries of git's index in both versions, and asserts that git
/// accepts the results.
fn judge(git: &Vanilla, kind: Kind, stat: impl Fn(&[u8]) -> Stat) {
    for version in [Version::V4, Version::V2] {
        judge_version(git, Form { kind, version }, &stat);
    }
}

fn judge_version(git: &Vanilla, form: Form, stat: impl Fn(&[u8]) -> Stat) {
    let entries = staged(git);
    let tree = Tree::of(git, &entries);
    let root = git.line(["write-tree"]);
    // git has the empty tree built in, but its fsck requires the object.
    git.git(["hash-object", "-w", "-t", "tree", "/dev/null"]);
    let mut ours = drive(Vec::new(), form, &entries, &tree, &stat);
    let counted = drive(Counter::default(), form, &entries, &tree, &stat);
    assert_eq!(counted.bytes(), u64::try_from(ours.len()).unwrap());
    let hash = drive(Hasher::new(form.kind), form, &entries, &tree, &stat).finish();
    ours.extend_from_slice(hash.as_bytes());

    install(git, &ours);
    assert_eq!(staged(git), entries);
    let number = form.version.number();
    assert_eq!(&ours[4..8], number.to_be_bytes());
    git.git(["config", "index.version", &number.to_string()]);
    assert_eq!(git.line(["write-tree"]), root);
    git.git(["fsck", "--no-dangling"]);
    git.git([
        "-c",
        "index.threads=1",
        "update-index",
        "--force-write-index",
    ]);
    let theirs = fs::read(git.join(".git/index")).unwrap();
    assert!(theirs == ours, "git itself writes other bytes");
    install(git, &ours);
}

/// The stat of a file in the work tree; `None` if its two times differ. git
/// records no fractions of seconds, unless it is built to.
fn true_stat(git: &Vanilla, path: &[u8]) -> Option<Stat> {
    let path = git
        .path()
        .join(Path::new(std::ffi::OsStr::from_bytes(path)));
    let stat = fs::symlink_metadata(path).unwrap();
    (stat.mtime() == stat.ctime()).then(|| Stat {
        changed: [u32::try_from(stat.ctime()).unwrap(), 0],
        modified: [u32::try_from(stat.mtime()).unwrap(), 0],
        inode: u32::try_from(stat.ino() & 0xffff_ffff).unwrap(),
        uid: stat.uid(),
        gid: stat.gid(),
        size: recorded_size(stat.size()),
    })
}

/// A commit with every kind of entry.
fn one_of_everything(kind: Kind) -> Vanilla {
    let git = Vanilla::new(kind);
    let (text, link) = (git.blob(b"text\n"), git.blob(b"tab\tname"));
    let commit = git.line(["commit-tree", "-m", "module", &git.line(["write-tree"])]);
    let commit = ObjectId::from_hex(commit.as_bytes()).unwrap();
    let names: [&[u8]; 12] = [
        b"a",
        b"a.b",
        b"a0/x",
        b"b/c/d/e",
        b"b/c/f",
        b"b/cc/f",
        b"tab\tname",
        b"quote\"d",
        b"back\\slash",
        b"new\nline",
        b"not-utf8-\xff\xfe",
        b"z/\xc3\xa4/\xe2\x82\xac",
    ];
    let mut entries: Entries = names
        .iter()
        .map(|name| (0o100_644, text, name.to_vec()))
        .collect();
    entries.push((0o100_644, git.blob(b""), b"empty".to_vec()));
    entries.push((0o100_755, git.blob(b"#!/bin/sh\n"), b"run".to_vec()));
    entries.push((0o120_000, link, b"link".to_vec()));
    entries.push((0o160_000, commit, b"b/module".to_vec()));
    git.stage(&entries);
    git
}

#[test]
fn the_index_of_a_checkout_is_the_one_git_writes() {
    for kind in KINDS {
        let git = one_of_everything(kind);
        git.git(["commit", "-q", "-m", "all"]);
        git.git(["checkout", "-q", "-f", "--", "."]);
        let paths = staged(&git);
        let stats: Option<Vec<_>> = paths
            .iter()
            .map(|(_, _, path)| true_stat(&git, path))
            .collect();
        // A checkout during which the second changes cannot be compared.
        let Some(_) = stats else { continue };
        let debug = git.git(["ls-files", "--stage", "--debug", "-z"]);
        judge(&git, kind, |path| true_stat(&git, path).unwrap());

        let ours = git.git(["ls-files", "--stage", "--debug", "-z"]);
        assert_eq!(comparable(&ours), comparable(&debug));
        assert_eq!(git.line(["status", "--porcelain"]), "");
        assert_eq!(git.line(["diff-files"]), "");
        let tags = git.git(["ls-files", "-t", "-z"]);
        assert!(
            tags.split(|&byte| byte == 0)
                .all(|tag| tag.is_empty() || tag.starts_with(b"H "))
        );
    }
}

/// The output of `git ls-files --debug` without the fields that are recorded as
/// 0: fractions of seconds, devices, and the stat of gitlinks.
fn comparable(debug: &[u8]) -> Vec<String> {
    let text = debug.replace("\n", "\n").to_str_lossy().into_owned();
    let (mut lines, mut in_module) = (Vec::new(), false);
    for line in text.split(['\0', '\n']) {
        in_module = line.starts_with("160000") || (in_module && line.starts_with("  "));
        let mut line = line.to_owned();
        if line.starts_with("  ctime: ") || line.starts_with("  mtime: ") {
            line.truncate(line.rfind(':').unwrap());
        } else if let Some(at) = line.find("ino: ") {
            line = line.split_off(at);
        }
        if !in_module {
            lines.push(line);
        }
    }
    lines
}

#[test]
fn git_reads_no_content_while_the_stat_agrees() {
    let git = Vanilla::new(Kind::Sha1);
    let other = git.blob(b"other");
    git.stage(&[(0o100_644, other, b"file".to_vec())]);
    git.write("file", b"mouse");
    let Some(stat) = true_stat(&git, b"file") else {
        return;
    };
    judge(&git, Kind::Sha1, |_| stat);
    assert_eq!(git.line(["diff-files"]), "", "git has read the file");
    judge(&git, Kind::Sha1, |_| Stat {
        inode: stat.inode ^ 1,
        ..stat
    });
    assert_ne!(git.line(["diff-files"]), "", "git has not compared inodes");
}

#[test]
fn sizes_over_4_gib_are_those_git_records() {
    let sizes = [
        (5, 5),
        ((4 << 30) + 5, 5),
        ((4 << 30) - 1, u32::MAX),
        (0, 0),
    ];
    assert_recorded(&sizes);
}

/// An older git reads such a file again, and so finds no change, either.
#[test]
fn sizes_of_whole_4_gib_are_those_git_records() {
    if is_git_older((2, 43)) {
        return;
    }
    assert_recorded(&[(4 << 30, 0x8000_0000), (8 << 30, 0x8000_0000)]);
}

/// Fails unless git takes a file of each size for unchanged in size.
fn assert_recorded(sizes: &[(u64, u32)]) {
    let git = Vanilla::new(Kind::Sha1);
    let id = git.blob(b"some");
    for &(size, recorded) in sizes {
        assert_eq!(recorded_size(size), recorded);
        git.write("file", b"");
        git.stage(&[(0o100_644, id, b"file".to_vec())]);
        File::options()
            .write(true)
            .open(git.join("file"))
            .unwrap()
            .set_len(size)
            .unwrap();
        let Some(stat) = true_stat(&git, b"file") else {
            continue;
        };
        judge(&git, Kind::Sha1, |_| stat);
        let says = git.line(["diff-files", "--raw"]);
        assert_eq!(says.is_empty(), size != 0, "{size}: {says}");
    }
}

#[test]
fn long_common_prefixes_are_encoded() {
    for kind in KINDS {
        let git = Vanilla::new(kind);
        let id = git.blob(b"");
        let long = |byte: char, length: usize| byte.to_string().repeat(length).into_bytes();
        let paths = [
            long('a', 4095),
            long('a', 4096),
            b"b".to_vec(),
            long('c', 128),
            long('d', 127),
            [long('e', 200), b"/".to_vec(), long('f', 255)].concat(),
            long('g', 16_511 + 128),
            long('h', 16_512 + 128),
            b"i".to_vec(),
        ];
        let mut entries: Entries = paths.map(|path| (0o100_644, id, path)).into();
        let deep = vec!["d".repeat(250); 17].join("/").into_bytes();
        entries.push((0o100_644, id, deep));
        git.stage(&entries);
        judge(&git, kind, |_| Stat::default());
    }
}

#[test]
fn an_empty_tree_has_an_empty_index() {
    for kind in KINDS {
        let git = Vanilla::new(kind);
        git.git(["read-tree", "--empty"]);
        git.git(["commit", "-q", "--allow-empty", "-m", "nothing"]);
        judge(&git, kind, |_| Stat::default());
        assert_eq!(git.line(["status", "--porcelain"]), "");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn git_writes_any_index_as_we_do(
        names in prop::collection::btree_set("[ab]{1,3}(/[a-c]{1,3}){0,4}", 0..40),
        numbers in any::<[u32; 5]>(),
    ) {
        let git = Vanilla::new(Kind::Sha1);
        let id = git.blob(b"x");
        // No file where another path needs a directory.
        let is_directory = |name: &str| {
            names.iter().any(|other| other.strip_prefix(name).is_some_and(|rest| rest.starts_with('/')))
        };
        let files = names.iter().filter(|name| !is_directory(name));
        let entries: Entries = files.map(|name| (0o100_644, id, name.clone().into())).collect();
        git.stage(&entries);
        let [seconds, inode, uid, gid, size] = numbers;
        // What git would take for a file changed a moment ago.
        let modified = [seconds % 1_700_000_000, inode % 1_000_000_000];
        let changed = [modified[0] / 2, 5];
        judge(&git, Kind::Sha1, |_| Stat { changed, modified, inode, uid, gid, size });
    }
}
