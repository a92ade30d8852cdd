//! Somebody is still inside.

use std::{
    fs,
    io::{Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::harness::{Bench, failure, git, run};

/// Somebody who stays inside.
fn sleeper(directory: &Path) -> Child {
    Command::new("sleep")
        .arg("600")
        .current_dir(directory)
        .spawn()
        .unwrap()
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_busy_tree_names_who_is_inside_and_lazy_waits_for_them() {
    let bench = Bench::new();
    bench.attach("repo", &[]);
    let inside = sleeper(&bench.mountpoint().join("src"));
    let said = failure(&mut bench.detach_command(&[]));
    assert!(
        said.contains(&format!("sleep (process {}, cwd ", inside.id())),
        "{said}"
    );
    assert!(said.contains("--lazy"), "{said}");
    assert_eq!(git(&bench.mountpoint(), &["status", "--short"]), "");

    let detached = bench.detach(&["--lazy"]);
    assert_eq!(detached["holders"][0]["pid"], inside.id());
    assert_eq!(fs::read_dir(bench.mountpoint()).unwrap().count(), 0);
    let cwd = format!("/proc/{}/cwd", inside.id());
    let read = fs::read_to_string(Path::new(&cwd).join("deep/11.txt")).unwrap();
    assert_eq!(
        read,
        "file 11\n".repeat(220),
        "who is inside goes on reading"
    );
    let said = failure(&mut bench.attach_command("repo", &[]));
    assert!(said.contains("still inside"), "{said}");
    let said = failure(&mut bench.detach_command(&[]));
    assert!(said.contains("still inside"), "{said}");
    let said = failure(&mut bench.detach_command(&["--lazy", "--discard"]));
    assert!(
        said.contains("discard them when the last has left"),
        "{said}"
    );
    assert!(fs::read(Path::new(&cwd).join("deep/13.txt")).is_ok());
    end(inside);
    bench.eventually_nothing_is_left();
    bench.attach("repo", &[]);
}

#[test]
fn a_mount_inside_is_named() {
    let bench = Bench::new();
    bench.attach("repo", &[]);
    let inner = bench.mountpoint().join("src");
    run(Command::new("mount")
        .args(["-t", "tmpfs", "inner"])
        .arg(&inner));
    let said = failure(&mut bench.detach_command(&[]));
    run(Command::new("umount").arg(&inner));
    assert!(
        said.contains(&format!("the mount {}", inner.display())),
        "{said}"
    );
    bench.detach(&[]);
    bench.nothing_is_left();
}

#[test]
fn a_namespace_that_is_just_being_made_is_waited_for() {
    let bench = Bench::alone();
    bench.attach("repo", &[]);
    let mut passing = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .args(["sh", "-c", "echo; exec sleep 0.7"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = passing.stdout.take().unwrap();
    output.read_exact(&mut [0]).unwrap();
    bench.detach(&[]);
    passing.wait().unwrap();
    bench.nothing_is_left();
}

#[test]
fn a_tree_that_another_namespace_shows_is_left_alone() {
    let bench = Bench::alone();
    bench.attach("repo", &[]);
    let mut other = Command::new("unshare")
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            "echo; read line; cat \"$1\"/README",
        ])
        .args(["sh", &bench.mountpoint().display().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = other.stdout.take().unwrap();
    output.read_exact(&mut [0]).unwrap();
    let said = failure(&mut bench.detach_command(&[]));
    assert!(
        said.contains("another mount namespace") && said.contains("--lazy"),
        "{said}"
    );
    bench.detach(&["--lazy"]);
    other.stdin.take().unwrap().write_all(b"\n").unwrap();
    let mut read = String::new();
    output.read_to_string(&mut read).unwrap();
    assert_eq!(read, "a repository\n");
    other.wait().unwrap();
    bench.eventually_nothing_is_left();
}
