//! A repository in which git is the judge of what this crate computes.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use gix::{ObjectId, hash::Kind};
use tempfile::TempDir;

use crate::support::git;

/// A repository with a work tree in a temporary directory.
pub(super) struct Vanilla {
    folder: TempDir,
}

impl Vanilla {
    pub(super) fn new(kind: Kind) -> Self {
        let vanilla = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let format = format!("--object-format={kind}");
        vanilla.git(["init", "-q", "-b", "main", &format]);
        vanilla
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn join(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    /// Writes a file of the work tree, and creates its directories.
    pub(super) fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Runs git, which must succeed; returns its standard output.
    pub(super) fn git<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Vec<u8> {
        self.feed(args, b"")
    }

    /// Like [`Vanilla::git`], for output that is a line of text.
    pub(super) fn line<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> String {
        String::from_utf8(self.git(args))
            .unwrap()
            .trim_end()
            .to_owned()
    }

    /// Like [`Vanilla::git`], with standard input.
    pub(super) fn feed<A: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = A>,
        input: &[u8],
    ) -> Vec<u8> {
        git::git(self.path(), &args.into_iter().collect::<Vec<_>>(), input)
    }

    /// A git command in this repository.
    pub(super) fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = git::command(self.path());
        command.args(args);
        command
    }

    /// Writes a blob.
    pub(super) fn blob(&self, content: &[u8]) -> ObjectId {
        let id = self.feed(["hash-object", "-w", "--stdin"], content);
        ObjectId::from_hex(id.trim_ascii()).unwrap()
    }

    /// Replaces git's index by entries of a mode, an id and a path each.
    pub(super) fn stage(&self, entries: &[(u32, ObjectId, Vec<u8>)]) {
        let line = |(mode, id, path): &(u32, ObjectId, Vec<u8>)| {
            let start = format!("{mode:o} {id}\t").into_bytes();
            [start, path.clone(), vec![0]].concat()
        };
        let lines: Vec<u8> = entries.iter().flat_map(line).collect();
        self.git(["read-tree", "--empty"]);
        self.feed(["update-index", "-z", "--index-info"], &lines);
    }
}
