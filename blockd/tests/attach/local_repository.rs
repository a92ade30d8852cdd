//! `blockd attach REPO@REV MOUNTPOINT`: the server is inside.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;

use crate::harness::{Bench, failure, git, run, send, wait_until};

/// A repository with two commits, beside the mountpoints.
fn repository(bench: &Bench) -> PathBuf {
    let repo = bench.path("repo");
    fs::create_dir(&repo).unwrap();
    git(&repo, &["init", "-q", "-b", "main"]);
    for number in 1..=2 {
        fs::write(repo.join("file"), format!("{number}\n")).unwrap();
        git(&repo, &["add", "."]);
        git(&repo, &["commit", "-q", "-m", &format!("commit {number}")]);
    }
    repo
}

/// At a mountpoint beside the repository, which is named from its own directory.
fn attach(bench: &Bench, name: &str, mountpoint: &Path) -> Command {
    let mut attach = bench.blockd(&["attach", "--via", "fuse", name]);
    attach.env_remove("BLOCKD_ANY_EXT4");
    attach.current_dir(bench.path("")).arg(mountpoint);
    attach
}

#[test]
fn one_command_attaches_and_the_server_ends_with_the_last_detach() {
    let bench = Bench::new();
    repository(&bench);
    let (tree, other) = (bench.path("m1"), bench.path("m2"));
    run(&mut attach(&bench, "./repo@main", &tree));
    assert_eq!(git(&tree, &["status", "--short"]), "");
    assert_eq!(git(&tree, &["log", "--format=%s"]), "commit 2\ncommit 1\n");
    run(&mut attach(&bench, "repo@main~1", &other));
    assert_eq!(fs::read_to_string(other.join("file")).unwrap(), "1\n");
    assert_eq!(bench.processes_with("serve").len(), 1);

    fs::write(tree.join("mine"), "x").unwrap();
    bench.detach_from("m1", &[]);
    assert_eq!(fs::read_to_string(other.join("file")).unwrap(), "1\n");
    bench.detach_from("m2", &[]);
    bench.nothing_will_be_left();

    run(&mut attach(&bench, "repo@main", &tree));
    assert_eq!(git(&tree, &["status", "--short"]), "?? mine\n");
    bench.detach_from("m1", &["--discard"]);
    bench.nothing_will_be_left();
}

#[test]
fn a_server_that_was_killed_is_started_again() {
    let bench = Bench::new();
    repository(&bench);
    run(&mut attach(&bench, "repo", &bench.path("m1")));
    let server = bench.processes_with("serve")[0];
    send(server, Signal::KILL);
    wait_until("it has ended", || bench.processes_with("serve").is_empty());
    run(&mut attach(&bench, "repo@main~1", &bench.path("m2")));
    assert_eq!(git(&bench.path("m1"), &["show", "main~1:file"]), "1\n");
    bench.detach_from("m1", &[]);
    bench.detach_from("m2", &[]);
    bench.nothing_will_be_left();
}

#[test]
fn what_is_no_repository_is_said() {
    let bench = Bench::new();
    let repo = repository(&bench);
    let said = |name: &str| failure(&mut attach(&bench, name, &bench.path("m1")));
    let error = said("missing@main");
    assert!(error.contains("neither an NBD URI"), "{error}");
    let error = said("repo@missing");
    assert!(error.contains("missing"), "{error}");
    fs::remove_dir_all(repo.join(".git")).unwrap();
    bench.nothing_will_be_left();
    let error = said("repo");
    assert!(error.contains("repositor"), "{error}");
    assert!(!bench.path("m1").exists());
    bench.nothing_will_be_left();
}
