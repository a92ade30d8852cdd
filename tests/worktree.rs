//! `blockd attach`: vanilla git works in the mounted tree as in any other.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::harness::{
    Fixture, Mounted, TestBlockd, TestRepo, Tree, git, history, program, run, stdout,
};

/// What a person sees first: the files, a clean status, sound objects.
#[track_caller]
fn judge(server: &TestBlockd, repo: &TestRepo, revision: &str) {
    let what = format!("{}@{revision}", repo.name());
    let mounted = Mounted::attach(&server.uri(&what));
    mounted.assert_clean();
    let checkout = repo.checkout(revision);
    Tree::of_folder(&mounted.path()).assert_same_as(&Tree::of_folder(checkout.path()), &what);
    assert_eq!(
        stdout(&mut mounted.git(&["rev-parse", "HEAD"])),
        repo.id(revision)
    );
    run(&mut mounted.git(&["fsck", "--no-progress"]));
    // Every file is read and hashed anew. With attributes some differ from
    // their blobs even in a fresh checkout.
    let top = mounted.path();
    let differ = differing(&top, &top.join(".git"), "HEAD");
    let git_dir = repo.git(&["rev-parse", "--absolute-git-dir"]);
    assert_eq!(
        differ,
        differing(checkout.path(), Path::new(&git_dir), revision),
        "{what}"
    );
    mounted.assert_clean();
    mounted.detach();
}

/// Files that git finds changed when its index knows none of them.
fn differing(top: &Path, git_dir: &Path, revision: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let with_index = |arguments: &[&str]| {
        let mut command = git(top);
        command.env("GIT_DIR", git_dir).env("GIT_WORK_TREE", top);
        command.env("GIT_INDEX_FILE", folder.path().join("index"));
        stdout(command.args(arguments))
    };
    with_index(&["read-tree", revision]);
    with_index(&["diff", "--name-status"])
}

#[test]
fn every_commit_of_every_shape() {
    let fixture = Fixture::get("shapes");
    let server = TestBlockd::serve(fixture.folder());
    let repo = fixture.repo("shapes");
    for commit in repo.commits() {
        judge(&server, &repo, &commit);
    }
}

#[test]
fn files_are_as_old_as_their_commit() {
    let fixture = Fixture::get("shapes");
    let server = TestBlockd::serve(fixture.folder());
    let repo = fixture.repo("shapes");
    // Git's index has 32 bits for a time, takes 0 for none, and must itself be
    // younger than all it tells of.
    for revision in ["main", "main~7", "late", "later"] {
        let mounted = Mounted::attach(&server.uri(&format!("shapes@{revision}")));
        let metadata = fs::symlink_metadata(mounted.path().join("one")).unwrap();
        let committed = repo.git(&["show", "-s", "--format=%ct", revision]);
        let expected = committed
            .parse::<i64>()
            .unwrap()
            .clamp(1, (u32::MAX - 10).into());
        assert_eq!(metadata.mtime(), expected, "{revision}");
        mounted.assert_clean();
    }
}

#[test]
fn every_commit_with_attributes() {
    let fixture = Fixture::get("attributes");
    let server = TestBlockd::serve(fixture.folder());
    let repo = fixture.repo("attributes");
    for commit in repo.commits() {
        judge(&server, &repo, &commit);
    }
}

#[test]
fn every_way_git_stores_objects() {
    let fixture = Fixture::get("storage");
    let server = TestBlockd::serve(fixture.folder());
    for name in [
        "loose",
        "packs",
        "alternates",
        "sha256",
        "refs",
        "linked",
        "shallow",
    ] {
        judge(&server, &fixture.repo(name), "HEAD");
    }
}

#[test]
fn the_first_status_opens_no_tracked_file() {
    let (_, server) = history();
    let mounted = Mounted::attach(&server.uri("history"));
    let trace = mounted.state().with_file_name("trace");
    let mut strace = program("strace");
    strace
        .args(["-f", "-e", "trace=open,openat,openat2", "-o"])
        .arg(&trace);
    strace
        .arg("git")
        .arg("-C")
        .arg(mounted.path())
        .args(["status", "--porcelain"]);
    strace.envs(crate::harness::HERMETIC);
    assert_eq!(stdout(&mut strace), "");
    let trace = fs::read_to_string(trace).unwrap();
    let opened = opened_files(&trace, &mounted.path());
    assert!(
        opened.iter().any(|path| path.ends_with(".gitignore")),
        "{trace}"
    );
    let allowed =
        |path: &&PathBuf| path.ends_with(".gitignore") || path.ends_with(".gitattributes");
    let tracked: Vec<_> = opened.iter().filter(|path| !allowed(path)).collect();
    assert!(tracked.is_empty(), "opened {tracked:#?}");
}

/// Files of the work tree, `.git` left out, that an open got hold of.
fn opened_files(trace: &str, top: &Path) -> Vec<PathBuf> {
    let opens = trace
        .lines()
        .filter(|line| line.contains("open") && !line.contains("O_DIRECTORY"));
    let got = opens.filter(|line| !line.contains(" = -1 "));
    let paths = got
        .filter_map(|line| line.split('"').nth(1))
        .map(|path| top.join(path));
    paths
        .filter(|path| path.starts_with(top) && !path.starts_with(top.join(".git")))
        .collect()
}

#[test]
fn opened_files_are_found_in_a_trace() {
    let trace = "12 openat(AT_FDCWD, \"src/a.c\", O_RDONLY) = 4\n\
                 12 openat(AT_FDCWD, \"gone\", O_RDONLY) = -1 ENOENT (No such file)\n\
                 12 openat(AT_FDCWD, \"src/\", O_RDONLY|O_DIRECTORY) = 4\n\
                 12 openat(AT_FDCWD, \".git/index\", O_RDONLY) = 4\n\
                 12 openat(AT_FDCWD, \"/lib/libc.so.6\", O_RDONLY) = 3\n";
    assert_eq!(
        opened_files(trace, Path::new("/mnt")),
        [Path::new("/mnt/src/a.c")]
    );
}

#[test]
fn everyday_commands_work() {
    let (repo, server) = history();
    let mounted = Mounted::attach(&server.uri("history"));
    let said = |arguments: &[&str]| stdout(&mut mounted.git(arguments));
    assert_eq!(
        said(&["log", "--format=%H"]),
        repo.git(&["log", "--format=%H", "main"])
    );
    let blame = ["blame", "-s", "main", "--", "src/part1/file1.c"];
    assert_eq!(said(&blame), repo.git(&blame));
    assert_eq!(said(&["symbolic-ref", "HEAD"]), "refs/heads/main");
    assert_eq!(said(&["describe", "--tags", "v1.0"]), "v1.0");

    fs::write(mounted.path().join("README.md"), "changed\n").unwrap();
    assert!(said(&["diff", "--stat"]).contains("README.md"));
    said(&["stash"]);
    mounted.assert_clean();
    said(&["stash", "pop"]);
    said(&["switch", "-q", "-c", "work"]);
    said(&["commit", "-q", "-a", "-m", "edit"]);
    assert_eq!(said(&["log", "--oneline", "main..work"]).lines().count(), 1);
    mounted.assert_clean();

    said(&["checkout", "-q", "HEAD~10"]);
    mounted.assert_clean();
    let checkout = Tree::of_folder(repo.checkout("main~9").path());
    Tree::of_folder(&mounted.path()).assert_same_as(&checkout, "checkout HEAD~10");
    said(&["switch", "-q", "work"]);
    said(&["mv", "src/part1", "src/moved"]);
    said(&["commit", "-q", "-m", "a folder moved"]);
    mounted.assert_clean();
    said(&["fsck", "--no-progress"]);
}

#[test]
fn fetch_and_push_reach_a_local_origin() {
    let (repo, server) = history();
    let origin = repo.copy();
    let mounted = Mounted::attach(&server.uri("history"));
    let url = origin.path().to_str().unwrap();
    assert_eq!(
        stdout(&mut mounted.git(&["config", "remote.origin.url"])),
        repo.git(&["config", "remote.origin.url"]),
    );
    run(&mut mounted.git(&["remote", "set-url", "origin", url]));
    let newer = origin.git(&["commit-tree", "-p", "main", "-m", "newer", "main^{tree}"]);
    origin.git(&["update-ref", "refs/heads/main", &newer]);
    run(&mut mounted.git(&["fetch", "-q", "origin"]));
    assert_eq!(
        stdout(&mut mounted.git(&["rev-parse", "origin/main"])),
        newer
    );

    run(&mut mounted.git(&["commit", "-q", "--allow-empty", "-m", "mine"]));
    run(&mut mounted.git(&["push", "-q", "origin", "HEAD:refs/heads/mine"]));
    assert_eq!(
        origin.id("mine"),
        stdout(&mut mounted.git(&["rev-parse", "HEAD"]))
    );
    origin.git(&["fsck", "--no-progress"]);
}

#[test]
fn adding_what_a_pack_already_holds_copies_no_pack() {
    let (_, server) = history();
    let mounted = Mounted::attach(&server.uri("history"));
    fs::copy(
        mounted.path().join("src/part1/file1.c"),
        mounted.path().join("copy.c"),
    )
    .unwrap();
    run(&mut mounted.git(&["add", "copy.c"]));
    run(&mut mounted.git(&["commit", "-q", "-m", "copy"]));
    let find = stdout(
        program("find")
            .arg(mounted.state())
            .args(["-xdev", "-type", "f"]),
    );
    let files: Vec<_> = find.lines().map(Path::new).collect();
    assert!(
        files.iter().any(|path| path.ends_with("copy.c")),
        "no diff below the state folder"
    );
    // A file whose metadata alone was copied up holds no data.
    let is_pack = |path: &&&Path| {
        path.extension()
            .is_some_and(|extension| extension == "pack")
    };
    let copied = files.iter().filter(is_pack);
    let copied = copied.filter(|path| {
        let file = fs::File::open(path).unwrap();
        rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(0)).is_ok()
    });
    assert_eq!(copied.collect::<Vec<_>>(), Vec::<&&Path>::new());
}
