//! What was opened once stays as it is, whatever happens to the repository.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::harness::{
    DISTRO_PYTHON, Fixture, Mounted, TestBlockd, TestRepo, escaped, fails, program, run, sha256_of,
    stdout,
};

fn python(name: &str, uri: &str) -> Command {
    let mut command = program(DISTRO_PYTHON);
    command
        .arg(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("clients")
                .join(name),
        )
        .arg(uri);
    command
}

/// What the server calls this export for good.
#[track_caller]
pub(crate) fn canonical(server: &TestBlockd, export: &str) -> String {
    let said = stdout(&mut python("canonical.py", &server.uri(export)));
    said.lines().next().unwrap().to_owned()
}

#[track_caller]
fn digest(server: &TestBlockd, export: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    run(program("nbdcopy").arg(server.uri(export)).arg(&copy));
    sha256_of(&copy)
}

/// A commit on main that brings a new blob, by a push as people push.
fn push(repo: &TestRepo, number: u32) -> String {
    let work = tempfile::tempdir().unwrap();
    let clone = work.path().join("clone");
    let git = |arguments: &[&str]| stdout(crate::harness::git(&clone).args(arguments));
    run(crate::harness::git(work.path())
        .args(["clone", "-q"])
        .arg(repo.path())
        .arg(&clone));
    std::fs::write(clone.join("pushed"), format!("push {number}")).unwrap();
    git(&["add", "pushed"]);
    git(&["commit", "-q", "-m", "pushed"]);
    git(&["push", "-q", "origin", "HEAD:main"]);
    git(&["rev-parse", "HEAD"])
}

/// All that git does to a repository behind a server's back.
fn shake(repo: &TestRepo) {
    push(repo, 1);
    repo.git(&["tag", "-d", "light"]);
    repo.git(&["repack", "-adfq"]);
    repo.git(&["reflog", "expire", "--expire=now", "--all"]);
    repo.git(&["gc", "-q", "--prune=now"]);
    repo.git(&["branch", "-D", "topic"]);
    repo.git(&["gc", "-q", "--prune=now"]);
}

fn served_copy() -> (TestRepo, TempDir) {
    (
        Fixture::get("history").repo("history").copy(),
        tempfile::tempdir().unwrap(),
    )
}

#[test]
fn a_canonical_name_says_all_that_decides_the_bytes() {
    let (repo, state) = served_copy();
    let server = TestBlockd::serve_with_state(repo.folder(), state.path());
    let name = canonical(&server, "history");
    let (before, snapshot) = name.split_once(":snapshot=").expect(&name);
    let (commit, layout) = before.split_once(":layout=").expect(&name);
    assert_eq!(commit, format!("history@{}", repo.id("main")));
    assert!(layout.parse::<u32>().is_ok(), "{name}");
    let (snapshot, head) = snapshot.split_once(':').expect(&name);
    assert!(
        snapshot.len() == 32 && snapshot.bytes().all(|b| b.is_ascii_hexdigit()),
        "{name}"
    );
    assert_eq!(head, "head=main");
    assert_eq!(canonical(&server, &name), name);
    let options = "history@v1.0:gid=7:uid=5:history=none";
    let name = canonical(&server, options);
    assert_eq!(
        name,
        format!(
            "history@{}:layout={layout}:history=none:uid=5:gid=7",
            repo.id("v1.0^{commit}")
        )
    );
}

#[test]
fn repack_gc_and_push_change_nothing_that_was_opened() {
    let (repo, state) = served_copy();
    let old = repo.id("main~3");
    let server = TestBlockd::serve_with_state(repo.folder(), state.path());
    let names = [
        canonical(&server, "history@main"),
        canonical(&server, &format!("history@{old}")),
    ];
    let before = names.clone().map(|name| digest(&server, &name));
    shake(&repo);
    assert_eq!(
        names.clone().map(|name| digest(&server, &name)),
        before,
        "while serving"
    );
    // A commit keeps the snapshot it was opened with.
    assert_eq!(canonical(&server, &format!("history@{old}")), names[1]);
    server.stop();
    let server = TestBlockd::serve_with_state(repo.folder(), state.path());
    assert_eq!(
        names.clone().map(|name| digest(&server, &name)),
        before,
        "after a restart"
    );
    assert_eq!(canonical(&server, &format!("history@{old}")), names[1]);
}

#[test]
fn git_works_in_a_mounted_tree_while_the_repository_is_repacked() {
    let (repo, state) = served_copy();
    let server = TestBlockd::serve_with_state(repo.folder(), state.path());
    let mounted = Mounted::attach(&server.uri("history@main"));
    shake(&repo);
    run(&mut mounted.git(&["fsck", "--no-progress"]));
    mounted.assert_clean();
    run(&mut mounted.git(&["log", "-p", "--all", "--output=/dev/null"]));
    run(&mut mounted.git(&["commit", "-q", "--allow-empty", "-m", "still works"]));
}

#[test]
fn the_served_repository_is_never_written() {
    let (repo, state) = served_copy();
    // Hard links to the packs change their link count and ctime, nothing else may change.
    let listing = || {
        let find = [".", "-printf", "%p %y %m %s %T@\n"];
        stdout(program("find").current_dir(repo.path()).args(find))
    };
    let before = listing();
    let server = TestBlockd::serve_with_state(repo.folder(), state.path());
    digest(&server, "history@main");
    digest(&server, "history@topic:history=none");
    server.stop();
    assert_eq!(listing(), before);
}

/// A connection of somebody who stays.
struct Held(Child, String);

impl Held {
    fn open(server: &TestBlockd, export: &str) -> Self {
        let mut hold = python("hold.py", &server.uri(export));
        let mut child = hold
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut name = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut name)
            .unwrap();
        assert!(name.starts_with("history@"), "no connection: {name:?}");
        Self(child, name.trim_end().to_owned())
    }

    fn close(mut self) {
        let mut stdin = self.0.stdin.take().unwrap();
        stdin.flush().unwrap();
        drop(stdin);
        assert!(self.0.wait().unwrap().success());
    }
}

#[test]
fn a_moving_name_stands_still_while_somebody_has_it_open() {
    let (repo, state) = served_copy();
    let server = TestBlockd::serve_with_state(repo.folder(), state.path());
    let held = Held::open(&server, "history@main");
    let pushed = push(&repo, 2);
    assert_eq!(
        canonical(&server, "history@main"),
        held.1,
        "the second connection of one client"
    );
    let new = canonical(&server, &format!("history@{pushed}"));
    assert!(new.contains(&pushed), "a full id is never held back: {new}");
    held.close();
    server.stop();
    let server = TestBlockd::serve_with_state(repo.folder(), state.path());
    assert!(
        canonical(&server, "history@main").contains(&pushed),
        "a new server looks again"
    );
}

#[test]
fn what_a_canonical_name_asks_for_is_served_exactly_or_not_at_all() {
    let (repo, state) = served_copy();
    let server = TestBlockd::serve_with_state(repo.folder(), state.path());
    let name = canonical(&server, "history@main");
    let (commit, _) = name.split_once(":layout=").unwrap();
    let (known, _) = name.split_once(":snapshot=").unwrap();
    for wrong in [
        format!("{commit}:layout=999"),
        format!("{known}:snapshot=0123456789abcdef"),
    ] {
        let said = fails(program("nbdinfo").arg(server.uri(&wrong)));
        let value = wrong.rsplit('=').next().unwrap();
        assert!(said.contains(value), "{}: {said}", escaped(&wrong));
    }
    // Another server has never seen this snapshot once the repository moved on.
    shake(&repo);
    let elsewhere = TestBlockd::serve(repo.folder());
    assert!(!fails(program("nbdinfo").arg(elsewhere.uri(&name))).is_empty());
}
