//! git reads the synthesized files of `.git` as a repository.

#![expect(clippy::indexing_slicing, reason = "a test that fails may panic")]

mod config;

use std::{fs, path::Path};

use gix::{
    ObjectId,
    bstr::{BString, ByteSlice},
    hash::Kind,
};

use super::{DIRECTORIES, Parts};
use crate::git::{Commit, Ref, Refs, vanilla::Vanilla};

/// A repository and the values that its files are made from.
struct Served {
    git: Vanilla,
    kind: Kind,
    refs: Refs,
    origin: Option<String>,
    shallow: Option<Vec<u8>>,
    commits: Vec<ObjectId>,
    /// The branch that HEAD is on.
    head: Option<BString>,
    fsmonitor: bool,
}

impl Served {
    /// A repository with three commits and no refs.
    fn new(kind: Kind) -> Self {
        let git = Vanilla::new(kind);
        git.write("file", "text\n");
        git.git(["add", "file"]);
        let tree = git.line(["write-tree"]);
        let mut commits: Vec<ObjectId> = Vec::new();
        for message in ["one", "two", "three"] {
            let parent = commits
                .last()
                .map(|id| [String::from("-p"), id.to_string()]);
            let args = ["commit-tree", &tree, "-m", message].map(String::from);
            let args = args.into_iter().chain(parent.into_iter().flatten());
            commits.push(ObjectId::from_hex(git.line(args).as_bytes()).unwrap());
        }
        let (refs, origin, shallow) = (Refs::default(), None, None);
        Self {
            git,
            kind,
            refs,
            origin,
            shallow,
            commits,
            head: Some("main".into()),
            fsmonitor: false,
        }
    }

    fn branch(&mut self, name: impl Into<BString>, commit: usize) {
        let branch = self.reference(name, commit);
        self.refs.branches.push(branch);
        self.refs.branches.sort();
    }

    /// Adds a remote-tracking branch.
    fn tracking(&mut self, name: &str, commit: usize) {
        let branch = self.reference(format!("refs/remotes/origin/{name}"), commit);
        self.refs.tracking.push(branch);
        self.refs.tracking.sort();
    }

    fn reference(&self, name: impl Into<BString>, commit: usize) -> Ref {
        Ref {
            name: name.into(),
            id: self.commits[commit],
            peeled: None,
        }
    }

    fn files(&self, commit: usize) -> Vec<(BString, Vec<u8>)> {
        let parts = Parts {
            fsmonitor: self.fsmonitor,
            kind: self.kind,
            refs: &self.refs,
            origin: self.origin.as_deref(),
            shallow: self.shallow.as_deref(),
        };
        let head = self.head.as_ref().map(|head| head.as_bstr());
        parts.files(&self.commit(commit), head).unwrap()
    }

    fn commit(&self, commit: usize) -> Commit {
        Commit {
            id: self.commits[commit],
            seconds: 1_700_000_000,
            ..Commit::unborn(self.kind)
        }
    }

    /// The content of a file; `none` if there is no such file.
    fn file(&self, commit: usize, path: &str) -> String {
        let files = self.files(commit);
        let file = files.into_iter().find(|(own, _)| *own == path);
        file.map_or("none".into(), |(_, content)| {
            String::from_utf8(content).unwrap()
        })
    }

    /// A repository with the work tree and the `.git` of an image.
    fn image(&self, commit: usize) -> Vanilla {
        let shown = Vanilla::new(self.kind);
        let dot_git = shown.join(".git");
        fs::remove_dir_all(&dot_git).unwrap();
        for directory in DIRECTORIES {
            fs::create_dir_all(dot_git.join(directory)).unwrap();
        }
        for (path, content) in self.files(commit) {
            shown.write(Path::new(".git").join(path.to_string()), content);
        }
        copy_objects(&self.git.join(".git/objects"), &dot_git.join("objects"));
        shown.git(["read-tree", "HEAD"]);
        shown.git(["checkout", "-q", "--", "."]);
        shown
    }
}

fn copy_objects(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_objects(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn git_works_in_the_repository_of_an_image() {
    for kind in [Kind::Sha1, Kind::Sha256] {
        let mut served = Served::new(kind);
        served.branch("refs/heads/main", 2);
        served.branch("refs/heads/topic/a", 1);
        served.refs.head = Some("refs/heads/main".into());
        served.origin = Some("https://example.org/a.git".into());
        let tag = b"object 0\ntype commit\ntag v1\ntagger A <a@b> 1700000000 +0000\n\nv1\n";
        let tag = String::from_utf8(tag.to_vec()).unwrap();
        let tag = tag.replace("object 0", &format!("object {}", served.commits[0]));
        let tag = served.git.feed(["mktag"], tag.as_bytes());
        let id = ObjectId::from_hex(tag.trim_ascii()).unwrap();
        let (name, peeled) = ("refs/tags/v1".into(), Some(served.commits[0]));
        served.refs.tags.push(Ref { name, id, peeled });

        let shown = served.image(2);
        assert_eq!(shown.git(["fsck", "--strict"]), b"");
        assert_eq!(
            shown.line(["rev-parse", "--show-object-format"]),
            kind.to_string()
        );
        let status = shown.line(["status", "--porcelain=v2", "--branch"]);
        let main = served.commits[2];
        assert_eq!(
            status,
            format!(
                "# branch.oid {main}\n# branch.head main\n# branch.upstream origin/main\n# branch.ab +0 -0"
            )
        );
        let refs = shown.line([
            "for-each-ref",
            "--format=%(refname) %(symref) %(*objectname)",
        ]);
        assert_eq!(
            refs,
            format!(
                "refs/heads/main  \nrefs/remotes/origin/HEAD refs/remotes/origin/main \n\
                 refs/remotes/origin/main  \nrefs/remotes/origin/topic/a  \nrefs/tags/v1  {}",
                served.commits[0]
            )
        );
        shown.git(["switch", "-q", "topic/a"]);
        assert_eq!(
            shown.line(["rev-parse", "--abbrev-ref", "@{upstream}"]),
            "origin/topic/a"
        );
        shown.git(["commit", "-q", "--allow-empty", "-m", "more"]);
        shown.git(["pack-refs", "--all"]);
        assert_eq!(
            shown.line(["log", "-g", "--format=%gs", "-1"]),
            "commit: more"
        );
    }
}

#[test]
fn head_is_on_the_branch_that_was_asked_for() {
    let mut served = Served::new(Kind::Sha1);
    served.branch("refs/heads/main", 2);
    served.branch("refs/heads/a", 2);
    served.refs.head = Some("refs/heads/main".into());
    served.head = Some("a".into());
    let shown = served.image(2);
    assert_eq!(shown.line(["symbolic-ref", "HEAD"]), "refs/heads/a");
    let heads = shown.line(["for-each-ref", "--format=%(refname)", "refs/heads"]);
    assert_eq!(heads, "refs/heads/a");
    assert_eq!(
        shown.line(["rev-parse", "--abbrev-ref", "@{u}"]),
        "origin/a"
    );

    served.head = Some("of/my/own".into());
    let shown = served.image(2);
    assert_eq!(shown.line(["branch", "--show-current"]), "of/my/own");
    assert_eq!(
        shown.line(["rev-parse", "HEAD"]),
        served.commits[2].to_string()
    );
    let config = shown.line(["config", "--list", "--local", "--name-only"]);
    assert!(!config.contains("branch."), "{config}");

    served.head = None;
    let detached = served.image(1);
    assert_eq!(detached.line(["status", "--porcelain"]), "");
    assert_eq!(detached.line(["branch", "--show-current"]), "");
    assert_eq!(detached.line(["for-each-ref", "refs/heads"]), "");
    let head = detached.line(["rev-parse", "HEAD"]);
    assert_eq!(head, served.commits[1].to_string());
}

#[test]
fn a_clone_that_people_work_in_shows_its_own_origin() {
    let mut served = Served::new(Kind::Sha1);
    served.branch("refs/heads/main", 0);
    served.branch("refs/heads/only/here", 1);
    served.refs.head = Some("refs/heads/only/here".into());
    served.tracking("main", 2);
    served.tracking("next", 1);
    served.refs.tracking_head = Some("refs/remotes/origin/main".into());
    served.head = Some("main".into());
    let shown = served.image(0);
    let refs = shown.line(["for-each-ref", "--format=%(refname) %(objectname)"]);
    let [one, two, three] = [0, 1, 2].map(|commit| served.commits[commit]);
    assert_eq!(
        refs,
        format!(
            "refs/heads/main {one}\nrefs/heads/only/here {two}\n\
             refs/remotes/origin/HEAD {three}\nrefs/remotes/origin/main {three}\n\
             refs/remotes/origin/next {two}"
        )
    );
    served.head = Some("only".into());
    let parts = Parts {
        kind: served.kind,
        refs: &served.refs,
        origin: None,
        shallow: None,
        fsmonitor: false,
    };
    let error = parts
        .files(&served.commit(0), Some("only".into()))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "HEAD cannot be on the branch only: there is refs/heads/only/here"
    );
}

#[test]
fn an_unborn_branch_is_that_of_an_empty_clone() {
    let mut served = Served::new(Kind::Sha1);
    served.commits[0] = ObjectId::null(Kind::Sha1);
    let names: Vec<_> = served.files(0).into_iter().map(|(path, _)| path).collect();
    assert_eq!(names, ["HEAD", "config", "description", "info/exclude"]);
    assert_eq!(served.file(0, "HEAD"), "ref: refs/heads/main\n");
}

#[test]
fn the_reflog_is_that_of_a_clone() {
    let mut served = Served::new(Kind::Sha1);
    served.branch("refs/heads/main", 2);
    served.refs.head = Some("refs/heads/main".into());
    served.origin = Some("https://example.org/a.git".into());
    let shown = served.image(2);
    for name in ["HEAD", "main", "origin/HEAD"] {
        let log = shown.line(["reflog", "show", "--format=%H %gs", name]);
        let id = served.commits[2];
        assert_eq!(log, format!("{id} clone: from https://example.org/a.git"));
    }
}

#[test]
fn a_branch_named_head_is_shown() {
    for name in ["refs/heads/HEAD", "refs/heads/HEAD/x"] {
        let mut served = Served::new(Kind::Sha1);
        served.branch("refs/heads/main", 2);
        served.branch(name, 1);
        served.refs.head = Some("refs/heads/main".into());
        assert_eq!(served.file(2, "refs/remotes/origin/HEAD"), "none");
        let theirs = name.replace("heads", "remotes/origin");
        let shown = served.image(2);
        assert_eq!(
            shown.line(["rev-parse", &theirs]),
            served.commits[1].to_string()
        );
    }
    let mut served = Served::new(Kind::Sha1);
    served.branch("refs/heads/HEADS", 2);
    served.refs.head = Some("refs/heads/HEADS".into());
    let head = served.file(2, "refs/remotes/origin/HEAD");
    assert_eq!(head, "ref: refs/remotes/origin/HEADS\n");
}

#[test]
fn a_shallow_history_is_shallow() {
    let mut served = Served::new(Kind::Sha1);
    served.branch("refs/heads/main", 2);
    served.shallow = Some(format!("{}\n", served.commits[1]).into());
    let shown = served.image(2);
    assert_eq!(shown.line(["rev-parse", "--is-shallow-repository"]), "true");
    assert_eq!(shown.line(["rev-list", "--count", "HEAD"]), "2");
}
