//! What runs in a work tree, or beside its mountpoint, lays traps for root.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Child, Stdio},
};

use rustix::{
    fs::{CWD, Mode, OFlags, mkdirat, openat},
    process::Signal,
};
use serde_json::Value;

use crate::{
    harness::{Bench, git, run, send, wait_until},
    serving::serve,
};

/// Directories `d`, each in the one before it.
fn make_chain(top: &Path, depth: u32) {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut here = openat(CWD, top, flags, Mode::empty()).unwrap();
    for _ in 0..depth {
        mkdirat(&here, "d", Mode::RWXU).unwrap();
        here = openat(&here, "d", flags, Mode::empty()).unwrap();
    }
}

/// Its paths are longer than `PATH_MAX`, and it has more levels than a process may open
/// files.
#[test]
fn a_deep_chain_of_directories_is_counted_and_discarded() {
    count_and_discard(2500);
}

/// It takes a minute on a busy disk.
#[test]
#[ignore = "a minute: make soak"]
fn a_hundred_thousand_levels_are_counted_and_discarded() {
    count_and_discard(100_000);
}

fn count_and_discard(depth: u32) {
    let bench = Bench::new();
    bench.attach("repo", &[]);
    make_chain(&bench.mountpoint(), depth);
    let status = run(&mut bench.blockd(&["status", "--json"]));
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(
        status["attachments"][0]["diff"]["entries"],
        depth.min(100_000),
        "{status}"
    );
    bench.detach(&["--discard"]);
    bench.nothing_is_left();
    assert_eq!(bench.entries("discarded"), [""; 0]);
}

/// Changes that go on over another disk of their commit lose what refers to packs of
/// the old one: in the upper layer, wherever a link in it leads.
#[test]
fn a_link_in_place_of_git_does_not_lead_root_out() {
    let bench = Bench::serving(|repositories| {
        let repository = repositories.join("repo");
        fs::create_dir(&repository).unwrap();
        git(&repository, &["init", "-q", "-b", "main"]);
        git(
            &repository,
            &["commit", "-q", "--allow-empty", "-m", "first"],
        );
    });
    let outside = bench.path("outside");
    let pack = outside.join("objects/pack");
    fs::create_dir_all(&pack).unwrap();
    fs::create_dir_all(outside.join("logs/refs/heads")).unwrap();
    for file in ["objects/pack/multi-pack-index", "logs/refs/heads/victim"] {
        fs::write(outside.join(file), "precious").unwrap();
    }
    bench.attach("repo@main", &[]);
    let tree = bench.mountpoint();
    fs::remove_dir_all(tree.join(".git")).unwrap();
    symlink(&outside, tree.join(".git")).unwrap();
    bench.detach(&[]);

    // The same commit, in another pack and in another state directory.
    let repository = bench.path("repositories/repo");
    git(&repository, &["gc", "-q"]);
    let socket = bench.path("other");
    let mut server = serve(&bench.path("repositories"), &bench.path("served-anew"));
    let _server = Server(server.arg("--unix").arg(&socket).spawn().unwrap());
    wait_until("the server listens", || socket.exists());
    send(bench.server(), Signal::KILL);
    let uri = format!("nbd+unix:///repo@main?socket={}", socket.display());
    let mut attach = bench.blockd(&["attach", "--via", "fuse", "--json", &uri]);
    let report: Value = serde_json::from_str(&run(attach.arg(&tree))).unwrap();
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("the same commit"), "{report}");
    assert!(pack.join("multi-pack-index").exists());
    bench.detach(&["--discard"]);
}

/// Another server, killed in the end.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Whoever owns the directory above renames it and puts a link there, after root has
/// looked at the mountpoint.
#[test]
fn a_directory_that_is_swapped_for_a_link_is_not_mounted_at() {
    let bench = Bench::new();
    let (parent, other) = (bench.path("parent"), bench.path("other"));
    fs::create_dir_all(parent.join("m")).unwrap();
    fs::create_dir_all(other.join("m")).unwrap();
    // The attach is held up when it asks the server.
    send(bench.server(), Signal::STOP);
    let stat = format!("/proc/{}/stat", bench.server());
    wait_until("the server is stopped", || {
        fs::read_to_string(&stat).unwrap().contains(") T ")
    });
    let mut attach = bench.attach_at_command("parent/m", "repo", &[]);
    let attach = attach.stderr(Stdio::piped()).spawn().unwrap();
    let places = || bench.entries("places").len() == 1;
    wait_until("the attach has begun", places);
    let descriptor = format!("/proc/{}/fd", attach.id());
    let mountpoint = parent.join("m");
    wait_until("it has the mountpoint open", || {
        let open = fs::read_dir(&descriptor).unwrap().flatten();
        open.filter_map(|file| fs::read_link(file.path()).ok())
            .any(|path| path == mountpoint)
    });
    fs::rename(&parent, bench.path("moved")).unwrap();
    symlink(&other, &parent).unwrap();
    send(bench.server(), Signal::CONT);
    let output = attach.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && said.contains("was moved to"),
        "{said}"
    );
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    for directory in [other.join("m"), bench.path("moved/m")] {
        assert!(!mounts.contains(directory.to_str().unwrap()), "{mounts}");
    }
    fs::remove_file(&parent).unwrap();
    fs::rename(bench.path("moved"), &parent).unwrap();
    run(&mut bench.detach_from_command("parent/m", &[]));
    bench.nothing_is_left();
}
