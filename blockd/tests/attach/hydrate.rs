//! A disk that is brought here, and servers that go away.

use std::{
    fs,
    io::Read,
    process::{Command, Stdio},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Bench, eventually, failure, git, image, pid, run, send};

fn hydrate(bench: &Bench, name: &str) -> Value {
    let mut command = bench.blockd(&["hydrate", "--wait", "--json"]);
    serde_json::from_str(&run(command.arg(bench.path(name)))).unwrap()
}

fn drop_caches() {
    fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
}

/// All of the work tree, and all of the history.
fn is_whole(bench: &Bench, name: &str) {
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
fn without_any_server_a_hydrated_disk_is_whole() {
    for more in [&[][..], &["--cow", "block"], &["--read-only"]] {
        let bench = Bench::new();
        let report = bench.attach("repo", &[&["--hydrate"], more].concat());
        assert!(report["cache"]["of"].as_u64() > Some(0), "{report}");
        let hydrated = hydrate(&bench, "m");
        assert_eq!(hydrated["cache"]["state"], "hydrated");
        let said = run(bench.blockd(&["status"]).arg(bench.mountpoint()));
        assert!(said.contains("the servers may go away"), "{said}");
        send(bench.server(), Signal::KILL);
        drop_caches();
        is_whole(&bench, "m");
        bench.detach(&[]);
        bench.nothing_is_left();
    }
}

#[test]
fn who_shares_a_disk_shares_its_hydration() {
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
    is_whole(&bench, "m3");
    bench.detach_from("m3", &[]);
    bench.nothing_is_left();
}

#[test]
fn what_cannot_be_hydrated_is_told() {
    let bench = Bench::new();
    let said = bench.refused("repo", &["--hydrate", "--cache-size", "64K"]);
    assert!(
        said.contains("it cannot be hydrated") && said.contains("give a larger --cache-size"),
        "{said}"
    );
    let mountpoint = bench.mountpoint();
    let said = failure(bench.blockd(&["hydrate"]).arg(&mountpoint));
    assert!(said.contains("nothing is attached at"), "{said}");
    bench.attach("repo", &[]);
    let said = failure(
        bench
            .blockd(&["hydrate", "--cache-size", "64K"])
            .arg(&mountpoint),
    );
    assert!(said.contains("MiB of data"), "{said}");
    send(bench.device_process(), Signal::STOP);
    let said = failure(bench.blockd(&["hydrate"]).arg(&mountpoint));
    assert!(said.contains("does not answer"), "{said}");
    send(bench.device_process(), Signal::KILL);
    let said = failure(bench.blockd(&["hydrate"]).arg(&mountpoint));
    assert!(said.contains("is gone"), "{said}");
}

#[test]
fn who_waits_may_leave_and_the_hydration_goes_on() {
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
    eventually("it listens to SIGINT", || {
        let status = fs::read_to_string(&handled).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        caught.is_some_and(|hex| u64::from_str_radix(hex.trim(), 16).unwrap() & 2 != 0)
    });
    send(pid(waiting.id()), Signal::INT);
    let mut said = String::new();
    waiting
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert!(!waiting.wait().unwrap().success());
    assert!(said.contains("goes on in the background"), "{said}");
    let said = run(bench.blockd(&["status"]).arg(bench.mountpoint()));
    assert!(said.contains("hydrated ") && said.contains("% ("), "{said}");
    bench.detach(&[]);
    bench.nothing_is_left();
}
