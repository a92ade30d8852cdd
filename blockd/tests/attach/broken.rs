//! Something dies, freezes or is killed.

use std::{
    fs,
    io::Read,
    net::TcpListener,
    num::NonZeroU64,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{Advice, fadvise},
    process::Signal,
};

use crate::harness::{Bench, eventually, failure, git, pid, send};

#[test]
fn detach_works_after_the_death_of_the_relay() {
    let bench = Bench::new();
    bench.attach("repo", &[]);
    send(bench.device_process(), Signal::KILL);
    eventually("the disk is dead", || {
        fs::read(bench.mountpoint().join("src/deep/9.txt")).is_err()
    });
    bench.detach(&[]);
    bench.nothing_is_left();
    bench.attach("repo", &[]);
    assert_eq!(git(&bench.mountpoint(), &["status", "--short"]), "");
}

#[test]
fn the_end_of_a_terminal_does_not_take_the_disk_away() {
    let bench = Bench::new();
    bench.attach("repo", &[]);
    send(bench.device_process(), Signal::HUP);
    assert_eq!(git(&bench.mountpoint(), &["status", "--short"]), "");
    bench.detach(&[]);
    bench.nothing_is_left();
}

#[test]
fn a_frozen_disk_is_given_up() {
    let bench = Bench::new();
    bench.attach("repo", &[]);
    send(bench.device_process(), Signal::STOP);
    let stuck = Command::new("cat")
        .arg(bench.mountpoint().join("src/deep/31.txt"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_millis(100));
    bench.detach(&["--lazy"]);
    assert!(
        !stuck.wait_with_output().unwrap().status.success(),
        "it read something"
    );
    bench.eventually_nothing_is_left();
}

#[test]
fn a_frozen_disk_that_nobody_uses_is_given_up() {
    let bench = Bench::new();
    bench.attach("repo", &[]);
    send(bench.device_process(), Signal::STOP);
    bench.detach(&[]);
    bench.nothing_is_left();
}

#[test]
fn what_is_read_ahead_from_a_frozen_server_is_given_up() {
    let bench = Bench::new();
    let report = bench.attach("repo", &["--read-only"]);
    send(bench.server(), Signal::STOP);
    let device = fs::File::open(report["device"].as_str().unwrap()).unwrap();
    let all = NonZeroU64::new(32 << 20);
    fadvise(&device, 0, all, Advice::WillNeed).unwrap();
    drop(device);
    let begun = Instant::now();
    bench.detach(&[]);
    assert!(begun.elapsed() < Duration::from_secs(10));
    bench.nothing_is_left();
}

#[test]
fn a_frozen_server_holds_nobody_for_ever() {
    let bench = Bench::new();
    bench.attach("repo", &[]);
    send(bench.server(), Signal::STOP);
    let tree = bench.mountpoint();
    let mut stuck = Command::new("cat")
        .arg(tree.join("src/deep/31.txt"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_millis(100));
    let said = failure(&mut bench.detach_command(&[]));
    assert!(said.contains("is busy"), "{said}");
    bench.detach(&["--lazy"]);
    send(bench.server(), Signal::CONT);
    assert!(stuck.wait().unwrap().success());
    bench.eventually_nothing_is_left();
}

#[test]
fn a_signal_ends_an_attach_and_leaves_nothing() {
    let bench = Bench::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("nbd://{}/repo", silent.local_addr().unwrap());
    for signal in [Signal::INT, Signal::TERM] {
        let mut command = bench.blockd(&["attach", &uri]);
        let mut attach = command
            .arg(bench.mountpoint())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (connection, _) = silent.accept().unwrap();
        send(pid(attach.id()), signal);
        let mut said = String::new();
        attach
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert!(!attach.wait().unwrap().success());
        assert!(said.contains("ended by SIG"), "{said}");
        drop(connection);
    }
    bench.nothing_is_left();
}

#[test]
fn a_kill_at_any_moment_leaves_nothing_after_detach() {
    let bench = Bench::new();
    for milliseconds in 0..40 {
        let mut attach = bench
            .attach_command("repo", &[])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(milliseconds));
        attach.kill().unwrap();
        attach.wait().unwrap();
        bench.detach(&[]);
        bench.eventually_nothing_is_left();
    }
    bench.attach("repo", &[]);
    assert_eq!(git(&bench.mountpoint(), &["status", "--short"]), "");
}

#[test]
fn a_lost_server_is_an_error_and_not_a_hang() {
    let bench = Bench::new();
    bench.attach("repo", &["--timeout", "1s"]);
    send(bench.server(), Signal::KILL);
    eventually("reads fail", || {
        fs::read(bench.mountpoint().join("src/deep/33.txt")).is_err()
    });
    bench.detach(&[]);
    bench.nothing_is_left();
}
