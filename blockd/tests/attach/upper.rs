//! Upper layers: in the state directory and on a tmpfs, full ones, and after a reboot.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Bench, failure, git, pid, run, send, wait_until};

/// A small file system for a state directory.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    fn at(path: &'a Path, size: &str) -> Self {
        fs::create_dir(path).unwrap();
        let options = format!("size={size}");
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "small"])
            .arg(path));
        Self(path)
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn changes_on_a_tmpfs_are_kept_until_they_are_discarded() {
    let bench = Bench::new();
    let report = bench.attach("repo", &["--upper", "tmpfs:64M"]);
    assert_eq!(report["upper"], "tmpfs:67108864");
    fs::write(bench.path("m/new"), "mine").unwrap();
    let detached = bench.detach(&[]);
    assert_eq!(
        (&detached["diff"], &detached["upper"]),
        (&"repo".into(), &report["upper"])
    );
    assert_eq!(bench.entries("lowers"), Vec::<String>::new());

    let error = failure(&mut bench.attach_command("repo", &["--upper", "state"]));
    assert!(
        error.contains("leave --upper out") && error.contains("--discard"),
        "{error}"
    );
    let again = bench.attach("repo", &[]);
    assert_eq!(
        (&again["diff"], &again["upper"]),
        (&"kept".into(), &report["upper"])
    );
    assert_eq!(fs::read_to_string(bench.path("m/new")).unwrap(), "mine");
    assert_eq!(bench.detach(&["--discard"])["diff"], Value::Null);
    bench.nothing_is_left();
    assert_eq!(bench.entries("places"), Vec::<String>::new());

    bench.attach("repo", &["--upper", "tmpfs"]);
    assert_eq!(
        bench.detach(&[])["diff"],
        Value::Null,
        "nothing was changed"
    );
    bench.nothing_is_left();
}

#[test]
fn a_full_disk_is_an_error_and_leaves_nothing_half_made() {
    let bench = Bench::new();
    let state = bench.state();
    let _small = Small::at(&state, "1M");
    bench.attach("repo", &[]);
    fs::write(bench.path("m/mine"), "mine").unwrap();
    let filled = fs::write(bench.path("m/big"), vec![1; 4 << 20]).unwrap_err();
    assert_eq!(filled.kind(), std::io::ErrorKind::StorageFull);
    let error = failure(&mut bench.attach_at_command("m2", "repo", &[]));
    assert!(
        error.contains("No space left") && error.contains("--state"),
        "{error}"
    );
    // Full as it is, it is detached, and the changes are whole.
    bench.detach(&[]);
    assert_eq!(bench.entries("lowers"), Vec::<String>::new());
    fs::remove_file(
        state
            .join("places")
            .join(&bench.entries("places")[0])
            .join("upper/big"),
    )
    .unwrap();
    assert_eq!(bench.attach("repo", &[])["diff"], "kept");
    assert_eq!(fs::read_to_string(bench.path("m/mine")).unwrap(), "mine");
    bench.detach(&["--discard"]);
    assert_eq!(bench.entries("places"), Vec::<String>::new());
}

/// The files below what was discarded.
fn left_to_remove(bench: &Bench) -> usize {
    let files = Command::new("find")
        .arg(bench.state().join("discarded"))
        .output();
    files.unwrap().stdout.split(|byte| *byte == b'\n').count() - 1
}

#[test]
fn a_removal_that_was_ended_is_gone_on_with() {
    let bench = Bench::new();
    bench.attach("repo", &[]);
    for directory in 0..40 {
        let directory = bench.path(&format!("m/new-{directory}"));
        fs::create_dir(&directory).unwrap();
        for file in 0..50 {
            fs::write(directory.join(file.to_string()), "").unwrap();
        }
    }
    // Slow enough for a signal to come before the end.
    let detach = bench.detach_command(&["--discard"]);
    let mut traced = Command::new("strace");
    traced.args(["-f", "-o", "/dev/null", "-e", "trace=unlink"]);
    traced.args(["-e", "inject=unlink:delay_enter=5000"]);
    traced.arg(detach.get_program()).args(detach.get_args());
    let traced = traced
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Fewer are there before all are moved away.
    wait_until("some are removed", || {
        (1000..2000).contains(&left_to_remove(&bench))
    });
    for process in bench.processes_with("--discard") {
        if process != pid(traced.id()) {
            send(process, Signal::INT);
        }
    }
    let ended = traced.wait_with_output().unwrap();
    let error = String::from_utf8(ended.stderr).unwrap();
    assert!(
        error.contains("ended by SIGINT") && error.contains("removes the files that are left"),
        "{error}"
    );
    bench.nothing_is_left();
    assert_eq!(bench.entries("places"), Vec::<String>::new());
    assert!(left_to_remove(&bench) > 0);
    let doctor = run(&mut bench.blockd(&["doctor"]));
    assert!(doctor.contains("is being removed"), "{doctor}");

    assert_eq!(
        bench.attach("repo", &[])["diff"],
        "new",
        "it is free at once"
    );
    assert!(left_to_remove(&bench) > 0);
    bench.detach(&[]);
    assert_eq!(left_to_remove(&bench), 0);
    assert!(!bench.entries("").contains(&"discarded".to_owned()));
}

#[test]
fn changes_are_found_again_after_a_reboot() {
    let bench = Bench::new();
    bench.attach("repo", &[]);
    bench.attach_at("m2", "repo", &["--upper", "tmpfs"]);
    fs::write(bench.path("m/new"), "mine").unwrap();
    fs::write(bench.path("m2/new"), "in memory").unwrap();
    bench.reboot(&["m", "m2"]);
    let status = run(&mut bench.blockd(&["status"]));
    assert!(status.contains("detached, with changes kept"), "{status}");
    assert_eq!(bench.attach("repo", &[])["diff"], "kept");
    assert_eq!(fs::read_to_string(bench.path("m/new")).unwrap(), "mine");
    assert_eq!(
        bench.attach_at("m2", "repo", &[])["diff"],
        "new",
        "memory is gone"
    );
    git(&bench.path("m2"), &["status", "--short"]);
    bench.detach_from("m2", &["--discard"]);
    bench.detach(&["--discard"]);
    bench.nothing_is_left();
}
