//! A relay or server dies or hangs, and attach is ended by a signal.

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

use crate::harness::{
    Bench, fails_with_eio, failure, git, pid, send, wait_until, wait_until_blocked,
};

#[test]
fn detach_works_after_the_relay_has_died() {
    let bench = Bench::new();
    bench.attach("repo", &[]);
    send(bench.relay(), Signal::KILL);
    wait_until("reads fail with EIO", || {
        fails_with_eio(&bench.mountpoint().join("src/deep/9.txt"))
    });
    bench.detach(&[]);
    bench.nothing_is_left();
    bench.attach("repo", &[]);
    assert_eq!(git(&bench.mountpoint(), &["status", "--short"]), "");
}

#[test]
fn a_relay_ignores_sighup() {
    let bench = Bench::new();
    bench.attach("repo", &[]);
    send(bench.relay(), Signal::HUP);
    assert_eq!(git(&bench.mountpoint(), &["status", "--short"]), "");
    bench.detach(&[]);
    bench.nothing_is_left();
}

#[test]
fn a_relay_that_hangs_is_killed_by_a_lazy_detach() {
    let bench = Bench::new();
    bench.attach("repo", &[]);
    send(bench.relay(), Signal::STOP);
    let stuck = Command::new("cat")
        .arg(bench.mountpoint().join("src/deep/31.txt"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until_blocked(&stuck, "cat");
    bench.detach(&["--lazy"]);
    assert!(
        !stuck.wait_with_output().unwrap().status.success(),
        "it read something"
    );
    bench.nothing_will_be_left();
}

#[test]
fn a_relay_that_hangs_is_killed_by_a_detach() {
    let bench = Bench::new();
    bench.attach("repo", &[]);
    send(bench.relay(), Signal::STOP);
    bench.detach(&[]);
    bench.nothing_is_left();
}

#[test]
fn a_detach_does_not_wait_for_readahead_from_a_server_that_hangs() {
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
fn a_server_that_hangs_keeps_the_mountpoint_busy_until_it_goes_on() {
    let bench = Bench::new();
    bench.attach("repo", &[]);
    send(bench.server(), Signal::STOP);
    let tree = bench.mountpoint();
    let mut stuck = Command::new("cat")
        .arg(tree.join("src/deep/31.txt"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until_blocked(&stuck, "cat");
    let error = failure(&mut bench.detach_command(&[]));
    assert!(error.contains("is busy"), "{error}");
    bench.detach(&["--lazy"]);
    send(bench.server(), Signal::CONT);
    assert!(stuck.wait().unwrap().success());
    bench.nothing_will_be_left();
}

#[test]
fn a_signal_ends_an_attach_and_leaves_nothing() {
    let bench = Bench::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("nbd://{}/repo", silent.local_addr().unwrap());
    for (signal, name) in [(Signal::INT, "SIGINT"), (Signal::TERM, "SIGTERM")] {
        let mut command = bench.blockd(&["attach", &uri]);
        let mut attach = command
            .arg(bench.mountpoint())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (connection, _) = silent.accept().unwrap();
        send(pid(attach.id()), signal);
        let mut error = String::new();
        attach
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut error)
            .unwrap();
        assert!(!attach.wait().unwrap().success());
        assert!(error.contains(&format!("ended by {name}")), "{error}");
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
        bench.nothing_will_be_left();
    }
    bench.attach("repo", &[]);
    assert_eq!(git(&bench.mountpoint(), &["status", "--short"]), "");
}

#[test]
fn a_server_that_is_gone_is_an_error_and_not_a_hang() {
    let bench = Bench::new();
    bench.attach("repo", &["--timeout", "1s"]);
    send(bench.server(), Signal::KILL);
    wait_until("reads fail with EIO", || {
        fails_with_eio(&bench.mountpoint().join("src/deep/33.txt"))
    });
    bench.detach(&[]);
    bench.nothing_is_left();
}
