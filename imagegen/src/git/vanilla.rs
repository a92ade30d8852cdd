//! Vanilla git in a repository of its own, to judge what we make.

use std::{
    ffi::OsStr,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use gix::{ObjectId, hash::Kind};
use tempfile::TempDir;

/// A repository with a work tree, untouched by anybody's configuration.
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

    /// Writes a file of the work tree, and the directories it is in.
    pub(super) fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// What git prints; it must succeed.
    pub(super) fn git<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Vec<u8> {
        self.feed(args, b"")
    }

    /// One line of it.
    pub(super) fn line<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> String {
        String::from_utf8(self.git(args))
            .unwrap()
            .trim_end()
            .to_owned()
    }

    /// The same, with something to read.
    pub(super) fn feed<A: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = A>,
        input: &[u8],
    ) -> Vec<u8> {
        let mut command = self.command(args);
        let output = run(&mut command, input);
        assert!(
            output.0,
            "{command:?} fails: {}",
            String::from_utf8_lossy(&output.2)
        );
        output.1
    }

    /// git, ready to run here.
    pub(super) fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new("git");
        command.current_dir(self.path()).args(args).envs(HERMETIC);
        for name in INHERITED {
            command.env_remove(name);
        }
        command
    }

    /// Stores a blob.
    pub(super) fn blob(&self, content: &[u8]) -> ObjectId {
        let id = self.feed(["hash-object", "-w", "--stdin"], content);
        ObjectId::from_hex(id.trim_ascii()).unwrap()
    }

    /// Puts entries into git's index: mode, id and path of each.
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

/// Runs a program to its end: whether it succeeds, what it prints, and what it
/// complains of.
pub(super) fn run(command: &mut Command, input: &[u8]) -> (bool, Vec<u8>, Vec<u8>) {
    let pipes = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = pipes
        .spawn()
        .unwrap_or_else(|error| panic!("this test needs {:?}: {error}", command.get_program()));
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    let writer = thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    drop(writer.join().unwrap());
    (output.status.success(), output.stdout, output.stderr)
}

const HERMETIC: [(&str, &str); 10] = [
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_ATTR_NOSYSTEM", "1"),
    ("GIT_AUTHOR_NAME", "A U Thor"),
    ("GIT_AUTHOR_EMAIL", "author@example.org"),
    ("GIT_AUTHOR_DATE", "1700000000 +0000"),
    ("GIT_COMMITTER_NAME", "C O Mitter"),
    ("GIT_COMMITTER_EMAIL", "committer@example.org"),
    ("GIT_COMMITTER_DATE", "1700000000 +0000"),
    ("LC_ALL", "C"),
];

/// Set when the tests run in a git hook; HOME, since it may hold attributes.
const INHERITED: [&str; 6] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "HOME",
    "XDG_CONFIG_HOME",
];
