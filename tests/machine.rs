//! `agent boot`: the work tree of a machine, and the way of its changes.

use std::{fs, io, path::Path, thread, time::Duration};

use crate::harness::{Fixture, TestBlockd, TestMachine, Tree, git, stdout};

/// Any terminal program serves in place of codex, which is not used here.
const SERVE: [&str; 2] = ["--command", "cat"];

/// The bytes of a directory, without file systems mounted in it.
fn own_bytes(folder: &Path) -> u64 {
    let mut du = std::process::Command::new("du");
    du.args(["--one-file-system", "--summarize", "--block-size=1"]);
    let output = stdout(du.arg(folder));
    output.split_whitespace().next().unwrap().parse().unwrap()
}

/// What attach writes into an upper layer: where git finds its hook.
const OF_ATTACH: &str = "/.git/blockd.gitconfig";

/// The bytes of files in the upper layers in a state directory.
fn changed_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let sizes = entries.map(|entry| {
        let kind = entry.file_type().unwrap();
        let name = entry.file_name();
        let path = entry.path();
        let path = path.to_str().unwrap();
        if kind.is_dir() && name != "lower" && name != "device" {
            changed_bytes(&entry.path())
        } else if kind.is_file() && path.contains("/upper/") && !path.ends_with(OF_ATTACH) {
            entry.metadata().unwrap().len()
        } else {
            0
        }
    });
    sizes.sum()
}

#[test]
fn agents_share_a_commit_and_copy_nothing() {
    let repo = Fixture::get("history").repo("history");
    let server = TestBlockd::serve_everywhere(repo.folder());
    let repo_size = own_bytes(repo.path());
    let port = server.port();
    // A server that is down is skipped; one is reached by IPv4, one by IPv6.
    let servers = [
        format!("127.0.0.1:9,127.0.0.1:{port}"),
        format!("[::1]:{port}"),
        format!("[::1]:9,[::1]:{port}"),
    ];
    let mut machines = [TestMachine::new(), TestMachine::new(), TestMachine::new()];
    for ((machine, servers), mode) in machines.iter_mut().zip(&servers).zip(["rw", "rw", "ro"]) {
        let boot = ["--repo", repo.name(), "--servers", servers, "--mode", mode];
        machine.boot(&boot, &SERVE, &[]);
        machine.url();
        let workspace = machine.workspace();
        assert_eq!(
            stdout(git(&workspace).args(["rev-parse", "HEAD"])),
            repo.id("HEAD")
        );
        let state = machine.state();
        assert_eq!(changed_bytes(&state), 0, "something was copied");
        assert!(
            own_bytes(&state) < 128 << 10,
            "{} of {repo_size}",
            own_bytes(&state)
        );
    }
    let [first, second, third] = &mut machines;
    fs::write(first.workspace().join("mine"), "mine").unwrap();
    assert!(!second.workspace().join("mine").exists());
    let refused = fs::write(third.workspace().join("mine"), "mine").unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ReadOnlyFilesystem);
    let status = stdout(git(&second.workspace()).args(["status", "--porcelain"]));
    assert_eq!(status, "");
    for machine in [first, second, third] {
        assert!(machine.stop().success(), "{}", machine.log());
        assert!(!machine.has_mounts());
    }
    server.stop();
}

#[test]
fn a_machine_fails_over_when_its_server_is_gone() {
    let repo = Fixture::get("history").repo("history");
    let (mut first, second) = (
        TestBlockd::serve(repo.folder()),
        TestBlockd::serve(repo.folder()),
    );
    let sockets = [&first, &second].map(|server| server.socket().display().to_string());
    let mut machine = TestMachine::new();
    let servers = sockets.join(",");
    machine.boot(&["--repo", repo.name(), "--servers", &servers], &SERVE, &[]);
    machine.url();
    first.kill();
    fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
    let workspace = machine.workspace();
    let checkout = repo.checkout("HEAD");
    Tree::of_folder(&workspace).assert_same_as(&Tree::of_folder(checkout.path()), "the workspace");
    assert!(machine.stop().success(), "{}", machine.log());
    second.stop();
}

#[test]
fn an_idle_machine_ends_and_its_changes_move_to_another_one() {
    let repo = Fixture::get("history").repo("history").copy();
    let server = TestBlockd::serve(repo.folder());
    let store = tempfile::tempdir().unwrap();
    let socket = server.socket();
    let boot = [
        ["--repo", repo.name()],
        ["--servers", socket.to_str().unwrap()],
        ["--store", store.path().to_str().unwrap()],
        ["--name", "one"],
    ]
    .concat();
    let mut machine = TestMachine::new();
    machine.boot(&boot, &[&SERVE[..], &["--idle-exit", "5"]].concat(), &[]);
    machine.url();
    let (before, workspace) = (repo.id("HEAD"), machine.workspace());
    let gone = stdout(git(&workspace).args(["ls-files"]));
    let gone = gone.lines().next().unwrap();
    fs::write(workspace.join("new"), "new").unwrap();
    fs::remove_file(workspace.join(gone)).unwrap();
    assert!(machine.ended().success(), "{}", machine.log());
    assert!(!machine.has_mounts());
    assert!(store.path().join("diffs/one.tar.gz").exists());
    // Meanwhile the branch gets a new commit, and the machine is lost.
    let next = repo.git(&[
        "commit-tree",
        "-p",
        "HEAD",
        "-m",
        "next",
        &format!("{before}^{{tree}}"),
    ]);
    repo.git(&["update-ref", "HEAD", &next]);
    machine.replaced();
    machine.boot(&boot, &SERVE, &[]);
    machine.url();
    assert_eq!(fs::read(workspace.join("new")).unwrap(), b"new");
    assert!(!workspace.join(gone).exists());
    assert_eq!(stdout(git(&workspace).args(["rev-parse", "HEAD"])), before);
    let status = stdout(git(&workspace).args(["status", "--porcelain"]));
    assert_eq!(status, format!(" D {gone}\n?? new"));
    assert!(machine.stop().success());
    server.stop();
}

#[test]
fn a_store_that_is_down_loses_nothing() {
    let repo = Fixture::get("history").repo("history");
    let server = TestBlockd::serve(repo.folder());
    let socket = server.socket();
    let boot = ["--repo", repo.name(), "--servers", socket.to_str().unwrap()];
    let mut machine = TestMachine::new();
    machine.boot(&boot, &SERVE, &[]);
    machine.url();
    fs::write(machine.workspace().join("new"), "new").unwrap();
    assert!(machine.stop().success());
    let store = ["--name", "one", "--store", "http://127.0.0.1:9"];
    machine.boot(&[&boot[..], &store].concat(), &SERVE, &[]);
    machine.url();
    let status = machine.stop();
    assert!(!status.success(), "the platform must restart it");
    assert!(
        machine
            .log()
            .contains("the changes are on this machine only"),
        "{}",
        machine.log()
    );
    machine.boot(&boot, &SERVE, &[]);
    machine.url();
    assert_eq!(fs::read(machine.workspace().join("new")).unwrap(), b"new");
    assert!(machine.stop().success());
    server.stop();
}

#[test]
fn a_machine_without_a_reachable_server_names_those_it_tried() {
    let mut machine = TestMachine::new();
    machine.boot(
        &["--repo", "x", "--servers", "127.0.0.1:9,[::1]:9"],
        &SERVE,
        &[],
    );
    assert!(!machine.ended().success());
    let log = machine.log();
    assert!(
        log.contains("127.0.0.1:9") && log.contains("[::1]:9"),
        "{log}"
    );
    assert!(!machine.has_mounts());
}

#[test]
fn a_machine_that_is_stopped_while_it_attaches_leaves_nothing() {
    let repo = Fixture::get("history").repo("history");
    let server = TestBlockd::serve(repo.folder());
    let socket = server.socket();
    let boot = ["--repo", repo.name(), "--servers", socket.to_str().unwrap()];
    for attempt in 0..6 {
        let mut machine = TestMachine::new();
        machine.boot(&boot, &SERVE, &[]);
        machine.logs("this machine");
        // Each attempt interrupts another step of the boot.
        thread::sleep(Duration::from_millis(attempt * 40));
        assert!(machine.stop().success(), "{}", machine.log());
        assert!(!machine.has_mounts());
    }
    server.stop();
}
