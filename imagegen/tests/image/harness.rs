//! Repositories and their images.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use imagegen::Result;
use imagegen::git::{Cache, ObjectId, Repository, Snapshot, SnapshotStore};
use imagegen::image::{History, Image, Options, Origin};
use tempfile::TempDir;

use crate::support::{e2fsprogs::run, git::git};

/// The files of a commit: mode, path, content. The content of a gitlink is its
/// id in hex.
pub(crate) type Files = Vec<(&'static str, String, Vec<u8>)>;

/// A regular file.
pub(crate) fn file(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Files {
    vec![("100644", path.into(), bytes.into())]
}

/// A symlink with a target of `length` bytes.
pub(crate) fn link(path: impl Into<String>, length: usize) -> Files {
    vec![("120000", path.into(), vec![b't'; length])]
}

/// Files of every kind, some of them in `sub`.
pub(crate) fn mixed() -> Files {
    let long = "n".repeat(255);
    let executable = ("100755", "sub/run".to_owned(), b"#!/bin/sh\n".to_vec());
    let gitlink = ("160000", "module".to_owned(), "12".repeat(20).into_bytes());
    let text = b"one line\n".repeat(1500);
    [
        file("README", "read me\n"),
        file("empty", ""),
        file("block", vec![b'b'; 4096]),
        file("sub/deep/er/text", text),
        file(format!("sub/{long}"), "long"),
        file("wide/.gitattributes", "*.txt eol=crlf\n"),
        file("wide/lines.txt", "one\ntwo\n"),
        link("fast", 59),
        link("sub/slow", 60),
        vec![executable, gitlink],
    ]
    .concat()
}

/// The options of an image without `.git`.
pub(crate) fn bare() -> Options {
    Options {
        history: History::None,
        ..Options::default()
    }
}

/// A repository in a temporary directory.
pub(crate) struct TestRepo(TempDir);

impl TestRepo {
    pub(crate) fn new() -> Self {
        Self::with("sha1")
    }

    /// A repository with this object format.
    pub(crate) fn with(format: &str) -> Self {
        let repo = Self(TempDir::new().unwrap());
        let format = format!("--object-format={format}");
        git(
            repo.0.path(),
            &["init", "-q", "-b", "main", &format, "repo"],
            b"",
        );
        repo
    }

    /// A repository with one commit.
    pub(crate) fn holding(files: &Files) -> (Self, ObjectId) {
        let repo = Self::new();
        let head = repo.import(files);
        (repo, head)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.beside("repo")
    }

    /// A path beside the repository.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        String::from_utf8(git(&self.path(), arguments, b"")).unwrap()
    }

    /// Commits these files to `main`.
    pub(crate) fn import(&self, files: &Files) -> ObjectId {
        let mut stream = b"commit refs/heads/main\n\
            committer C <c@example.org> 1700000100 +0100\ndata 0\n"
            .to_vec();
        for (mode, path, bytes) in files {
            if *mode == "160000" {
                let id = String::from_utf8_lossy(bytes);
                stream.extend(format!("M {mode} {id} {path}\n").into_bytes());
                continue;
            }
            let head = format!("M {mode} inline {path}\ndata {}\n", bytes.len());
            stream.extend([head.as_bytes(), bytes, b"\n"].concat());
        }
        git(
            &self.path(),
            &["fast-import", "--quiet", "--force"],
            &stream,
        );
        self.id("main")
    }

    /// Commits a tree to `main`.
    pub(crate) fn commit(&self, tree: ObjectId) -> ObjectId {
        let commit = self.git(&["commit-tree", "-m", "", &tree.to_string()]);
        self.git(&["update-ref", "refs/heads/main", commit.trim()]);
        self.id("main")
    }

    /// Writes a tree of lines in the format of `git ls-tree`.
    pub(crate) fn tree(&self, lines: &str) -> ObjectId {
        let hex = git(&self.path(), &["mktree", "--missing"], lines.as_bytes());
        ObjectId::from_hex(hex.trim_ascii()).unwrap()
    }

    pub(crate) fn id(&self, rev: &str) -> ObjectId {
        ObjectId::from_hex(self.git(&["rev-parse", rev]).trim().as_bytes()).unwrap()
    }

    /// The snapshot of a commit in the state directory of this name, with a
    /// cache of its own.
    pub(crate) fn snapshot(&self, state: &str, commit: ObjectId) -> Result<Arc<Snapshot>> {
        let cache = Cache::new(64 << 20, self.0.path());
        let repository = Repository::open(&self.path())?;
        SnapshotStore::open(&self.beside(state))?.take(&repository, commit, &cache)
    }

    /// Opens the image of a commit.
    pub(crate) fn open(&self, commit: ObjectId, options: &Options) -> Result<Image> {
        Image::open(
            Origin::Snapshot(self.snapshot("state", commit)?),
            commit,
            options,
        )
    }

    /// Opens the image of a commit without a snapshot.
    pub(crate) fn open_live(&self, commit: ObjectId, options: &Options) -> Result<Image> {
        let cache = Cache::new(64 << 20, self.0.path());
        let objects = Repository::open(&self.path())?.objects(&cache)?;
        Image::open(Origin::Objects(objects), commit, options)
    }

    /// Writes the image to a sparse file beside the repository.
    pub(crate) fn write(&self, image: &Image) -> PathBuf {
        let path = self.beside("image");
        let disk = File::create(&path).unwrap();
        disk.set_len(image.size()).unwrap();
        let mut offset = 0;
        while let Some(run) = image.allocated(offset) {
            if run.allocated {
                let mut bytes = vec![0; usize::try_from(run.length).unwrap()];
                image.read_at(offset, &mut bytes).unwrap();
                disk.write_all_at(&bytes, offset).unwrap();
            }
            offset += run.length;
        }
        path
    }

    /// The content of a file of the image, as read by e2fsprogs.
    pub(crate) fn dump(&self, image: &Image, path: &str) -> Vec<u8> {
        let disk = self.write(image);
        let copy = self.beside("copy");
        run(
            "debugfs",
            &["-R", &format!("dump {path} {}", copy.display())],
            &disk,
        );
        fs::read(copy).unwrap()
    }

    /// Writes all files of the image, as read by e2fsprogs, to a directory of
    /// this name.
    pub(crate) fn dump_all(&self, image: &Image, name: &str) -> PathBuf {
        let disk = self.write(image);
        let copy = self.beside(name);
        fs::create_dir(&copy).unwrap();
        run(
            "debugfs",
            &["-R", &format!("rdump / {}", copy.display())],
            &disk,
        );
        fs::remove_dir(copy.join("lost+found")).ok();
        copy
    }
}

/// The whole image, in one read.
pub(crate) fn whole(image: &Image) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(image.size()).unwrap()];
    image.read_at(0, &mut bytes).unwrap();
    bytes
}
