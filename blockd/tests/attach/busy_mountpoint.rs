//! Detach while processes, mounts or other namespaces use the mountpoint.

use std::{
    fs,
    io::{Read, Write},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use crate::harness::{Bench, failure, git, run, wait_until};

/// A process with its working directory in `directory`.
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
fn a_busy_mountpoint_names_its_users_and_lazy_lets_them_go_on() {
    let bench = Bench::new();
    bench.attach("repo", &[]);
    let inside = sleeper(&bench.mountpoint().join("src"));
    let error = failure(&mut bench.detach_command(&[]));
    assert!(
        error.contains(&format!("sleep (process {}, cwd ", inside.id())),
        "{error}"
    );
    assert!(error.contains("--lazy"), "{error}");
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
    let error = failure(&mut bench.attach_command("repo", &[]));
    assert!(error.contains("still inside"), "{error}");
    let error = failure(&mut bench.detach_command(&[]));
    assert!(error.contains("still inside"), "{error}");
    let error = failure(&mut bench.detach_command(&["--lazy", "--discard"]));
    assert!(
        error.contains("discard them when the last has left"),
        "{error}"
    );
    assert!(fs::read(Path::new(&cwd).join("deep/13.txt")).is_ok());
    end(inside);
    bench.nothing_will_be_left();
    bench.attach("repo", &[]);
}

#[test]
fn a_mount_below_the_mountpoint_is_named() {
    let bench = Bench::new();
    bench.attach("repo", &[]);
    let inner = bench.mountpoint().join("src");
    run(Command::new("mount")
        .args(["-t", "tmpfs", "inner"])
        .arg(&inner));
    let error = failure(&mut bench.detach_command(&[]));
    run(Command::new("umount").arg(&inner));
    assert!(
        error.contains(&format!("the mount {}", inner.display())),
        "{error}"
    );
    bench.detach(&[]);
    bench.nothing_is_left();
}

/// Its mountpoint has the same path, and is no business of this attachment's.
#[test]
fn force_leaves_a_process_of_another_namespace_alone() {
    let bench = Bench::alone();
    let script = "mount -t tmpfs x \"$1\" && cd \"$1\" && echo && read line && echo alive";
    let (mut other, mut output) = in_a_namespace(&bench, script);
    bench.attach("repo", &[]);
    let mut inside = Command::new("sleep");
    let mut inside = inside
        .arg("60")
        .current_dir(bench.mountpoint())
        .spawn()
        .unwrap();
    bench.detach(&["--force"]);
    bench.nothing_is_left();
    assert!(!inside.wait().unwrap().success());
    other.stdin.take().unwrap().write_all(b"\n").unwrap();
    let mut said = String::new();
    output.read_to_string(&mut said).unwrap();
    assert_eq!(said, "alive\n");
    assert!(other.wait().unwrap().success());
}

#[test]
fn a_namespace_that_ends_at_once_is_waited_for() {
    let bench = Bench::alone();
    bench.attach("repo", &[]);
    let (mut other, _output) = in_a_namespace(&bench, "echo; read line");
    let mut detach = bench
        .detach_command(&[])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mountpoint = format!(" {} ", bench.mountpoint().display());
    wait_until("it is unmounted in this namespace", || {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        !mounts.contains(&mountpoint)
    });
    other.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(detach.wait().unwrap().success());
    other.wait().unwrap();
    bench.nothing_is_left();
}

#[test]
fn a_mount_in_another_namespace_is_named() {
    let bench = Bench::alone();
    bench.attach("repo", &[]);
    let (mut other, mut output) = in_a_namespace(&bench, "echo; read line; cat \"$1\"/README");
    let error = failure(&mut bench.detach_command(&[]));
    assert!(
        error.contains("another mount namespace") && error.contains("--lazy"),
        "{error}"
    );
    bench.detach(&["--lazy"]);
    other.stdin.take().unwrap().write_all(b"\n").unwrap();
    let mut read = String::new();
    output.read_to_string(&mut read).unwrap();
    assert_eq!(read, "a repository\n");
    other.wait().unwrap();
    bench.nothing_will_be_left();
}

/// Runs a shell script in a mount namespace of its own, with the mountpoint as its
/// first argument, up to its first line: an empty one. Then its input, and its
/// output from there on, are the test's.
fn in_a_namespace(bench: &Bench, script: &str) -> (Child, ChildStdout) {
    let mut other = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script])
        .args(["sh", &bench.mountpoint().display().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = other.stdout.take().unwrap();
    output.read_exact(&mut [0]).unwrap();
    (other, output)
}
