//! When the files of an attached tree were modified, and which branch it is on.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use crate::harness::{Bench, git, run};

/// The branches of `r` with the date of each: the others are at the commit of
/// `main`, which is made now.
const BRANCHES: [(&str, Option<&str>); 3] = [
    ("old", Some("@1000000000 +0000")),
    ("future", Some("@4102444800 +0000")),
    ("main", None),
];

fn repositories(directory: &Path) {
    let repository = directory.join("r");
    fs::create_dir(&repository).unwrap();
    git(&repository, &["init", "-q", "-b", "main"]);
    for (branch, date) in BRANCHES {
        git(&repository, &["checkout", "-q", "--orphan", branch]);
        fs::write(repository.join("file"), format!("{branch:6}\n")).unwrap();
        git(&repository, &["add", "."]);
        let mut commit = Command::new("git");
        commit
            .current_dir(&repository)
            .env("GIT_AUTHOR_DATE", "@1000000000 +0000");
        commit.envs(date.map(|date| ("GIT_COMMITTER_DATE", date)));
        let user = ["-c", "user.name=A", "-c", "user.email=a@example.org"];
        run(commit.args(user).args(["commit", "-q", "-m", branch]));
    }
    git(&repository, &["branch", "feature"]);
    git(&repository, &["branch", "aaa"]);
}

fn now() -> i64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    passed.as_secs().cast_signed()
}

/// Seconds and nanoseconds.
fn modified(file: &Path) -> (i64, i64) {
    let file = fs::metadata(file).unwrap();
    (file.mtime(), file.mtime_nsec())
}

fn mtime(report: &Value) -> &str {
    let name = report["export"].as_str().unwrap();
    let option = name.split(':').find_map(|it| it.strip_prefix("mtime="));
    option.unwrap()
}

#[test]
fn files_are_as_old_as_the_attach_and_git_sees_every_edit() {
    let bench = Bench::serving(repositories);
    let file = bench.path("m/file");
    for (branch, _) in BRANCHES {
        let before = now();
        let report = bench.attach(&format!("r@{branch}"), &[]);
        let (seconds, _) = modified(&file);
        assert!(
            (before - 2..=now()).contains(&seconds),
            "{branch}: {seconds}"
        );
        // Else git would compare what is in every file.
        let index = modified(&bench.path("m/.git/index")).0;
        assert_eq!(index, seconds + 1);
        // Of the same size, at once.
        fs::write(&file, "edited\n").unwrap();
        let status = git(&bench.mountpoint(), &["status", "--short"]);
        assert_eq!(status, " M file\n", "{branch}: {report}");
        bench.detach(&["--discard"]);
    }
}

/// What was built is newer than the files of the commit before.
#[test]
fn a_build_outside_the_tree_sees_that_another_commit_took_its_place() {
    let bench = Bench::serving(repositories);
    let file = bench.path("m/file");
    bench.attach("r@main", &[]);
    fs::write(bench.path("built"), "").unwrap();
    let built = modified(&bench.path("built"));
    bench.detach(&[]);
    bench.attach("r@old", &[]);
    assert!(modified(&file) > built);
    // The second of that time is over, whatever a tool compares.
    assert!(now() > modified(&file).0);
    bench.attach_at("m2", "r@main", &[]);
    assert!(modified(&bench.path("m2/file")) > built);
    bench.detach_from("m2", &[]);
    bench.detach(&[]);
}

#[test]
fn attachments_of_one_commit_share_the_time_of_the_first() {
    let bench = Bench::serving(repositories);
    let first = bench.attach("r@main", &[]);
    let second = bench.attach_at("m2", "r@main", &["--read-only"]);
    assert_eq!(first["export"], second["export"]);
    assert_eq!(second["shared_with"], 1);
    // Another branch at the same commit is another disk.
    let third = bench.attach_at("m3", "r@feature", &[]);
    assert_eq!(third["shared_with"], 0);
    bench.attach_at("m4", "r@main:mtime=1500000000", &[]);
    assert_eq!(modified(&bench.path("m4/file")), (1_500_000_000, 0));
    for name in ["m2", "m3", "m4"] {
        bench.detach_from(name, &["--discard"]);
    }
    bench.detach(&["--discard"]);
    bench.nothing_is_left();
}

#[test]
fn of_many_that_attach_at_once_all_share_one_time() {
    let bench = Bench::serving(repositories);
    let names: Vec<String> = (0..6).map(|number| format!("m{number}")).collect();
    let attaching = names.iter().map(|name| {
        let mut attach = bench.attach_at_command(name, "r@main", &[]);
        attach.stdout(Stdio::piped()).spawn().unwrap()
    });
    let attaching: Vec<_> = attaching.collect();
    let exports = attaching.into_iter().map(|attach| {
        let output = attach.wait_with_output().unwrap();
        assert!(output.status.success());
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        report["export"].to_string()
    });
    let mut exports: Vec<_> = exports.collect();
    exports.dedup();
    assert_eq!(exports.len(), 1, "{exports:?}");
    for name in &names {
        bench.detach_from(name, &["--discard"]);
    }
}

#[test]
fn kept_changes_keep_the_time_of_their_files() {
    let bench = Bench::serving(repositories);
    let first = bench.attach("r@main:mtime=1500000000", &[]);
    fs::write(bench.path("m/new"), "").unwrap();
    bench.detach(&[]);
    let second = bench.attach("r@main", &[]);
    assert_eq!(mtime(&second), "1500000000");
    assert_eq!(first["export"], second["export"]);
    assert_eq!(second["diff"], "kept");
    bench.detach(&["--discard"]);
}

#[test]
fn head_is_on_the_branch_that_was_asked_for() {
    let bench = Bench::serving(repositories);
    let head = git(&bench.path("repositories/r"), &["rev-parse", "main"]);
    let tree = bench.mountpoint();
    for (name, branch) in [
        ("r@main", "main"),
        ("r@feature", "feature"),
        ("r@heads/aaa", "aaa"),
        ("r", "main"),
        ("r@main:head=my/own", "my/own"),
        (&format!("r@{}", head.trim()), ""),
        ("r@main~0", ""),
    ] {
        bench.attach(name, &[]);
        let on = git(&tree, &["branch", "--show-current"]);
        assert_eq!(on.trim(), branch, "{name}");
        assert_eq!(git(&tree, &["rev-parse", "HEAD"]), head, "{name}");
        bench.detach(&["--discard"]);
    }
}
