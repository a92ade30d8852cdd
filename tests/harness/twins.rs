//! An attached tree and a clone of the same branch: what is done in one must
//! do the same in the other.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use tempfile::TempDir;

use super::{
    blockd::TestBlockd,
    command::{program, run, stdout},
    fixture::TestRepo,
    git::git,
    mounted::Mounted,
};

/// Two trees of one commit, each with a folder of its own beside it.
pub(crate) struct Twins {
    attached: Mounted,
    cloned: TempDir,
    scratch: [TempDir; 2],
}

/// One of them.
pub(crate) struct Twin<'a> {
    pub(crate) tree: PathBuf,
    /// Where scripts put what belongs to no tree.
    pub(crate) scratch: &'a Path,
}

impl Twins {
    /// Of a branch, a tag or a commit's id.
    #[track_caller]
    pub(crate) fn of(
        repo: &TestRepo,
        revision: &str,
        server: &TestBlockd,
        attach: &[&str],
    ) -> Self {
        let uri = server.uri(&format!("{}@{revision}", repo.name()));
        let twins = Self {
            attached: Mounted::attach_with(&uri, attach),
            cloned: tempfile::tempdir().unwrap(),
            scratch: [(); 2].map(|()| tempfile::tempdir().unwrap()),
        };
        twins.clone_from(repo, revision);
        twins
    }

    /// By the URL that the attached tree has for its origin, too.
    fn clone_from(&self, repo: &TestRepo, revision: &str) {
        let url = stdout(&mut self.attached.git(&["config", "remote.origin.url"]));
        let instead = format!("url.{}.insteadOf={url}", repo.path().display());
        let [_, cloned] = self.both();
        let mut clone = git(self.cloned.path());
        clone.args(["-c", &instead, "clone", "-q"]);
        let is_id = repo.id(revision) == revision;
        if is_id {
            clone.arg("--no-checkout");
        } else {
            clone.args(["--branch", revision]);
        }
        run(clone.arg(&url).arg(&cloned.tree));
        if is_id {
            // As `git clone --revision` does, which is newer than Debian's git:
            // without the branch that nobody has asked for.
            let unasked = repo.git(&["symbolic-ref", "--short", "HEAD"]);
            let in_clone = |arguments: &[&str]| {
                let mut command = git(&cloned.tree);
                run(command
                    .env("GIT_REFLOG_ACTION", format!("clone: from {url}"))
                    .args(arguments));
            };
            in_clone(&["checkout", "-q", revision]);
            in_clone(&["branch", "-q", "-D", &unasked]);
            in_clone(&["reflog", "delete", "HEAD@{1}"]);
        }
    }

    /// The attached tree, and the cloned one.
    pub(crate) fn both(&self) -> [Twin<'_>; 2] {
        let trees = [self.attached.path(), self.cloned.path().join("mnt")];
        let mut scratch = self.scratch.iter();
        trees.map(|tree| Twin {
            tree,
            scratch: scratch.next().expect("one for each").path(),
        })
    }

    /// Runs a program in both; what it says, and what it leaves, is the same.
    #[track_caller]
    pub(crate) fn assert_same(&self, what: &str, command: impl Fn(&Twin<'_>) -> Command) {
        let differences = self.differences(command);
        assert!(
            differences.is_empty(),
            "{what} does not do in the attached tree (-) what it does in a clone (+):\n{differences}"
        );
    }

    /// Runs a program in both, one after the other; where they differ.
    #[track_caller]
    fn differences(&self, command: impl Fn(&Twin<'_>) -> Command) -> String {
        let text = self.both().map(|twin| twin.all_of(&mut command(&twin)));
        self.differences_of(&text)
    }

    /// The same with both at once, so that neither has another machine to itself.
    #[track_caller]
    pub(crate) fn differences_at_once(
        &self,
        command: impl Fn(&Twin<'_>) -> Command + Sync,
    ) -> String {
        let command = &command;
        let text = thread::scope(|threads| {
            let run = |twin: Twin<'_>| twin.all_of(&mut command(&twin));
            let running = self.both().map(|twin| threads.spawn(move || run(twin)));
            running.map(|thread| thread.join().expect("a failure has been shown"))
        });
        self.differences_of(&text)
    }

    #[track_caller]
    fn differences_of(&self, [attached, cloned]: &[String; 2]) -> String {
        run(&mut self
            .attached
            .git(&["fsck", "--no-progress", "--connectivity-only"]));
        differences(attached, cloned, self.scratch[0].path())
    }
}

impl Twin<'_> {
    fn all_of(&self, command: &mut Command) -> String {
        let text = self.output_of(command);
        format!("{text}\n== what is left\n{}", self.state())
    }

    /// What it says and how it ends, the names of this twin's folders aside.
    fn output_of(&self, command: &mut Command) -> String {
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let mut text = self.without_paths(&said);
        if !output.status.success() {
            let log = String::from_utf8_lossy(&output.stderr);
            write!(text, "{}\n{}", output.status, self.without_paths(&log)).unwrap();
        }
        text
    }

    fn without_paths(&self, text: &str) -> String {
        let tree = self.tree.to_str().unwrap();
        text.replace(tree, "TREE")
            .replace(self.scratch.to_str().unwrap(), "SCRATCH")
    }

    /// Refs, HEAD, the index, and every file that git does not ignore.
    fn state(&self) -> String {
        let index = self.scratch.join("index-of-all");
        let output = |arguments: &[&str]| stdout(git(&self.tree).args(arguments));
        let all = |arguments: &[&str]| {
            let mut command = git(&self.tree);
            stdout(command.env("GIT_INDEX_FILE", &index).args(arguments))
        };
        all(&["read-tree", "HEAD"]);
        all(&["add", "--all"]);
        [
            output(&[
                "status",
                "--porcelain=v2",
                "--branch",
                "--untracked-files=all",
            ]),
            output(&["for-each-ref"]),
            output(&["ls-files", "--stage"]),
            output(&["stash", "list"]),
            all(&["write-tree"]),
        ]
        .join("\n--\n")
    }
}

/// What `diff` says of both, its beginning.
fn differences(attached: &str, cloned: &str, folder: &Path) -> String {
    let paths = ["attached", "cloned"].map(|name| folder.join(name));
    for (path, text) in paths.iter().zip([attached, cloned]) {
        fs::write(path, text).unwrap();
    }
    let said = program("diff").arg("-U1").args(&paths).output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let lines = said.lines().skip(2).take(60);
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn differences_are_told_line_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let compared = |one, two| differences(one, two, folder.path());
    assert_eq!(compared("a\nb\n", "a\nb\n"), "");
    assert_eq!(compared("a\nb\n", "a\nc\n"), "@@ -1,2 +1,2 @@\n a\n-b\n+c");
}
