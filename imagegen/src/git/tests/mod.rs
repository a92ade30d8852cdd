//! Reading repositories that git wrote, compared with what git reads.

#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that panics has failed, as it should"
)]

mod copies;
mod malformed;
mod many_packs;
mod objects;
mod older;
mod reachable;
mod repository;
mod snapshot;
mod snapshot_store;
mod spool;
mod trees;

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use gix::ObjectId;
use tempfile::TempDir;

pub(in crate::git) use self::older::is_git_older;
use super::{Cache, EntryMode, Objects, Repository};
use crate::support::git::git as run;

/// A repository with a work tree in a temporary directory.
struct TestRepo {
    directory: TempDir,
    name: &'static str,
}

impl TestRepo {
    fn new() -> Self {
        Self::with(&[])
    }

    /// `git init` with further options.
    fn with(options: &[&str]) -> Self {
        let repo = Self {
            directory: TempDir::new().unwrap(),
            name: "repo",
        };
        let init = [&["init", "-q", "-b", "main"], options, &["repo"]].concat();
        run(repo.directory.path(), &init, b"");
        for (key, value) in [
            ("gc.auto", "0"),
            ("maintenance.auto", "false"),
            ("core.looseCompression", "0"),
        ] {
            repo.git(&["config", key, value]);
        }
        repo
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join(self.name)
    }

    /// A path beside the repository.
    fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn git(&self, arguments: &[&str]) -> String {
        String::from_utf8(run(&self.path(), arguments, b"")).unwrap()
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Commits the work tree.
    fn commit(&self, message: &str) -> ObjectId {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.id("HEAD")
    }

    /// Two commits with every kind of entry.
    fn fill(&self) -> ObjectId {
        self.write("README", "read me\n");
        self.write("src/main.c", "int main;\n".repeat(300));
        self.write("src/deep/er/file", "");
        symlink("src/main.c", self.path().join("link")).unwrap();
        self.write("run.sh", "#!/bin/sh\n");
        self.git(&["add", "-A"]);
        self.git(&["update-index", "--chmod=+x", "run.sh"]);
        let gitlink = "160000,1234567890123456789012345678901234567890,sub";
        let wide = format!("160000,{},sub", "12".repeat(32));
        let sha256 = self.git(&["rev-parse", "--show-object-format"]).trim() == "sha256";
        let gitlink = if sha256 { &wide } else { gitlink };
        self.git(&["update-index", "--add", "--cacheinfo", gitlink]);
        self.git(&["commit", "-q", "-m", "one"]);
        self.write("src/main.c", "int main;\n".repeat(299) + "int last;\n");
        self.git(&["commit", "-q", "-a", "-m", "two"]);
        self.id("HEAD")
    }

    fn id(&self, rev: &str) -> ObjectId {
        ObjectId::from_hex(self.git(&["rev-parse", rev]).trim().as_bytes()).unwrap()
    }

    /// The path of a loose object.
    fn loose(&self, id: &ObjectId) -> PathBuf {
        let hex = id.to_string();
        let (fan, rest) = hex.split_at(2);
        self.path().join(".git/objects").join(fan).join(rest)
    }

    /// Writes a loose object of any content.
    fn hash_object(&self, kind: &str, content: &[u8]) -> ObjectId {
        let arguments = ["hash-object", "-w", "--literally", "-t", kind, "--stdin"];
        let hex = run(&self.path(), &arguments, content);
        ObjectId::from_hex(hex.trim_ascii()).unwrap()
    }

    fn open(&self) -> Repository {
        Repository::open(&self.path()).unwrap()
    }

    fn objects(&self) -> Objects {
        self.open().objects(&cache(64 << 20)).unwrap()
    }
}

/// A cache that spools into the system's temporary directory.
fn cache(bytes: usize) -> Arc<Cache> {
    Cache::new(bytes, &std::env::temp_dir())
}

/// All files of a commit as printed by `git ls-tree -r -t -l`.
fn list(objects: &Objects, commit: ObjectId) -> String {
    let mut text = String::new();
    list_tree(objects, objects.commit(commit).unwrap().tree, "", &mut text);
    text
}

fn list_tree(objects: &Objects, tree: ObjectId, path: &str, text: &mut String) {
    for entry in objects.tree(tree).unwrap().iter() {
        let path = format!("{path}{}", String::from_utf8_lossy(entry.name));
        let (kind, size) = match entry.mode {
            EntryMode::Directory => ("tree", "-".to_owned()),
            EntryMode::Gitlink => ("commit", "-".to_owned()),
            _ => ("blob", entry.size.to_string()),
        };
        let mode = entry.mode.bits();
        writeln!(text, "{mode:06o} {kind} {} {size:>7}\t{path}", entry.id).unwrap();
        if entry.mode == EntryMode::Directory {
            list_tree(objects, entry.id.to_owned(), &format!("{path}/"), text);
        } else if entry.mode.is_blob() {
            read_all(objects, entry.id, entry.size);
        }
    }
}

/// The content of a blob, read through `read_at` in pieces of an odd length.
fn read_all(objects: &Objects, id: &gix::oid, size: u64) -> Vec<u8> {
    let blob = objects.blob(id, size).unwrap();
    assert_eq!(blob.len(), size);
    let mut bytes = vec![0; usize::try_from(size).unwrap()];
    let mut offset = 0;
    for piece in bytes.chunks_mut(4096 * 257 + 1) {
        blob.read_at(offset, piece).unwrap();
        offset += u64::try_from(piece.len()).unwrap();
    }
    assert!(blob.read_at(size, &mut [0]).is_err());
    bytes
}

/// All files of `commit` according to git.
fn git_list(repo: &TestRepo, commit: ObjectId) -> String {
    repo.git(&["ls-tree", "-r", "-t", "-l", &commit.to_string()])
}

/// The id of a blob.
fn blob_id(content: &[u8]) -> ObjectId {
    use sha1::Digest as _;
    let mut hash = sha1::Sha1::new();
    hash.update(format!("blob {}\0", content.len()));
    hash.update(content);
    ObjectId::Sha1(hash.finalize().into())
}

/// Bytes that do not compress, the same for each seed.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
