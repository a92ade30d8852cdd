//! Hydration: the whole disk is copied to this host, and the servers go away.

use std::{
    fs,
    io::Read,
    process::{Command, Stdio},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Bench, failure, git, image, pid, run, send, wait_until};

fn hydrate(bench: &Bench, name: &str) -> Value {
    let mut command = bench.blockd(&["hydrate", "--wait", "--json"]);
    serde_json::from_str(&run(command.arg(bench.path(name)))).unwrap()
}

fn drop_caches() {
    fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
}

/// Checks the whole work tree and the whole history.
fn assert_whole(bench: &Bench, name: &str) {
    let tree = bench.path(name);
    assert_eq!(git(&tree, &["status", "--short"]), "");
    git(&tree, &["fsck", "--no-progress", "--full"]);
    let found = run(Command::new("grep")
        .args(["-rc", "file", "src"])
        .current_dir(&tree));
    assert_eq!(found.lines().count(), 50);
    assert!(found.contains("49.txt:980"), "{found}");
}

#[test]
fn a_hydrated_disk_needs_no_server() {
    for more in [&[][..], &["--cow", "block"], &["--read-only"]] {
        let bench = Bench::new();
        let report = bench.attach("repo", &[&["--hydrate"], more].concat());
        assert!(report["cache"]["of"].as_u64() > Some(0), "{report}");
        let hydrated = hydrate(&bench, "m");
        assert_eq!(hydrated["cache"]["state"], "hydrated");
        let text = run(bench.blockd(&["status"]).arg(bench.mountpoint()));
        assert!(text.contains("no server is needed any more"), "{text}");
        send(bench.server(), Signal::KILL);
        drop_caches();
        assert_whole(&bench, "m");
        bench.detach(&[]);
        bench.nothing_is_left();
    }
}

#[test]
fn attachments_of_one_export_share_a_hydration() {
    let bench = Bench::new();
    assert_eq!(bench.attach("repo", &[])["cache"], Value::Null);
    let status = run(bench.blockd(&["status"]).arg(bench.mountpoint()));
    assert!(!status.contains("hydrated"), "{status}");
    let report = bench.attach_at("m2", "repo", &["--hydrate"]);
    assert_eq!(report["shared_with"], 1);
    assert_eq!(hydrate(&bench, "m")["cache"]["state"], "hydrated");
    bench.detach_from("m2", &[]);
    send(bench.server(), Signal::KILL);
    drop_caches();
    let third = bench.attach_at("m3", "repo", &["--hydrate"]);
    assert_eq!(third["export"], "repo", "its relay answers for the server");
    bench.detach(&[]);
    assert_whole(&bench, "m3");
    bench.detach_from("m3", &[]);
    bench.nothing_is_left();
}

#[test]
fn a_hydration_that_cannot_begin_is_an_error() {
    let bench = Bench::new();
    let text = bench.refused("repo", &["--hydrate", "--cache-size", "64K"]);
    assert!(
        text.contains("the disk cannot be hydrated") && text.contains("give a larger --cache-size"),
        "{text}"
    );
    let mountpoint = bench.mountpoint();
    let text = failure(bench.blockd(&["hydrate"]).arg(&mountpoint));
    assert!(text.contains("nothing is attached at"), "{text}");
    bench.attach("repo", &[]);
    let text = failure(
        bench
            .blockd(&["hydrate", "--cache-size", "64K"])
            .arg(&mountpoint),
    );
    assert!(text.contains("MiB of data"), "{text}");
    send(bench.relay(), Signal::STOP);
    let text = failure(bench.blockd(&["hydrate"]).arg(&mountpoint));
    assert!(text.contains("does not answer"), "{text}");
    send(bench.relay(), Signal::KILL);
    wait_until("the relay has ended", || bench.relays().is_empty());
    let text = failure(bench.blockd(&["hydrate"]).arg(&mountpoint));
    assert!(text.contains("is gone"), "{text}");
}

#[test]
fn ctrl_c_ends_the_wait_and_not_the_hydration() {
    let slow = image().display().to_string();
    // 64 MiB, at 2 MiB a second.
    let filters = ["--filter=noextents", "--filter=rate"];
    let bench = Bench::with_server(&[&filters[..], &["file", &slow, "rate=16M"]].concat());
    bench.attach("repo", &["--hydrate"]);
    let waiting = bench
        .blockd(&["hydrate", "--wait"])
        .arg(bench.mountpoint())
        .stderr(Stdio::piped())
        .spawn();
    let mut waiting = waiting.unwrap();
    let handled = format!("/proc/{}/status", waiting.id());
    wait_until("it listens to SIGINT", || {
        let status = fs::read_to_string(&handled).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        caught.is_some_and(|hex| u64::from_str_radix(hex.trim(), 16).unwrap() & 2 != 0)
    });
    send(pid(waiting.id()), Signal::INT);
    let mut text = String::new();
    waiting
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    assert!(!waiting.wait().unwrap().success());
    assert!(text.contains("goes on in the background"), "{text}");
    let text = run(bench.blockd(&["status"]).arg(bench.mountpoint()));
    assert!(text.contains("hydrated ") && text.contains("% ("), "{text}");
    bench.detach(&[]);
    bench.nothing_is_left();
}
