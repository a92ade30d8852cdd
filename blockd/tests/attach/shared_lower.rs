//! Many attachments of one export share one lower layer.

use std::{fs, process::Stdio, thread, time::Duration};

use rustix::process::Signal;

use crate::harness::{Bench, fails_with_eio, failure, git, send, wait_until};

#[test]
fn attachments_of_one_export_share_its_device_until_the_last_is_detached() {
    let bench = Bench::new();
    let first = bench.attach("repo@main", &[]);
    let second = bench.attach_at("m2", "repo@main", &[]);
    let third = bench.attach_at("m3", "repo@main", &["--read-only"]);
    assert_eq!(first["device"], second["device"]);
    assert_eq!(first["device"], third["device"]);
    assert_eq!(
        [&first, &second, &third].map(|report| report["shared_with"].as_u64().unwrap()),
        [0, 1, 2]
    );
    let relay = bench.relay();
    assert_eq!(bench.entries("lowers").len(), 1);

    fs::write(bench.path("m/README"), "one\n").unwrap();
    fs::write(bench.path("m2/README"), "two\n").unwrap();
    let other = bench.attach_at("m4", "repo@other", &[]);
    assert_ne!(first["device"], other["device"]);
    bench.detach_from("m4", &[]);

    bench.detach(&[]);
    assert_eq!(bench.relay(), relay);
    assert_eq!(
        git(&bench.path("m2"), &["status", "--short"]),
        " M README\n"
    );
    bench.detach_from("m2", &["--discard"]);
    let shown = fs::read_to_string(bench.path("m3/README")).unwrap();
    assert_eq!(shown, "a repository\n");
    bench.detach_from("m3", &[]);
    bench.nothing_is_left();
    assert_eq!(bench.attach("repo@main", &[])["diff"], "kept");
}

#[test]
fn sixteen_attach_and_detach_at_once() {
    let bench = Bench::new();
    let names: Vec<String> = (0..16).map(|number| format!("m{number}")).collect();
    let attaching: Vec<_> = names
        .iter()
        .map(|name| {
            let mut command = bench.attach_at_command(name, "repo", &[]);
            command.stdout(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut attach in attaching {
        assert!(attach.wait().unwrap().success());
    }
    bench.relay();
    for name in &names {
        assert_eq!(git(&bench.path(name), &["status", "--short"]), "");
    }
    let detaching: Vec<_> = names
        .iter()
        .map(|name| {
            let mut command = bench.detach_from_command(name, &["--discard"]);
            command.stdout(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut detach in detaching {
        assert!(detach.wait().unwrap().success());
    }
    bench.nothing_is_left();
    assert_eq!(bench.entries("places"), Vec::<String>::new());
}

#[test]
fn a_dead_relay_is_replaced_when_its_attachments_are_detached() {
    let bench = Bench::new();
    bench.attach("repo", &[]);
    bench.attach_at("m2", "repo", &["--read-only"]);
    fs::write(bench.path("m/new"), "mine").unwrap();
    send(bench.relay(), Signal::KILL);
    wait_until("reads fail with EIO", || {
        fails_with_eio(&bench.path("m2/src/deep/19.txt"))
    });
    let error = failure(&mut bench.attach_at_command("m3", "repo", &[]));
    for name in ["m", "m2"] {
        let path = bench.path(name).display().to_string();
        assert!(
            error.contains(&path) && error.contains("has died"),
            "{error}"
        );
    }
    bench.detach(&[]);
    bench.detach_from("m2", &[]);
    bench.nothing_is_left();
    assert_eq!(bench.attach("repo", &[])["diff"], "kept");
    assert_eq!(fs::read_to_string(bench.path("m/new")).unwrap(), "mine");
}

#[test]
fn a_killed_attach_does_not_keep_the_device_in_use() {
    let bench = Bench::new();
    bench.attach("repo", &[]);
    for milliseconds in 0..20 {
        let mut attach = bench
            .attach_at_command("m2", "repo", &[])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(milliseconds));
        attach.kill().unwrap();
        attach.wait().unwrap();
    }
    assert_eq!(git(&bench.mountpoint(), &["status", "--short"]), "");
    // The last one may have been attached before it was killed.
    bench.detach_from("m2", &[]);
    bench.detach(&[]);
    bench.nothing_is_left();
}

#[test]
fn another_kind_of_device_than_the_shared_one_is_refused() {
    let bench = Bench::new();
    bench.attach("repo", &[]);
    fs::create_dir(bench.path("m2")).unwrap();
    let mut command = bench.blockd(&["attach", "--via", "nbd", &bench.uri("repo")]);
    let error = failure(command.arg(bench.path("m2")));
    let first = bench.mountpoint().display().to_string();
    assert!(
        error.contains("leave --via out") && error.contains(&first),
        "{error}"
    );
}

#[test]
fn a_process_inside_keeps_the_device_which_others_may_share() {
    let bench = Bench::new();
    let first = bench.attach("repo", &[]);
    let mut inside = std::process::Command::new("sleep")
        .arg("600")
        .current_dir(bench.path("m/src"))
        .spawn()
        .unwrap();
    let detached = bench.detach(&["--lazy"]);
    assert_eq!(detached["settling"], true);
    let second = bench.attach_at("m2", "repo", &[]);
    assert_eq!(first["device"], second["device"], "it is the same device");
    bench.detach_from("m2", &[]);
    let error = failure(&mut bench.attach_command("repo", &[]));
    assert!(error.contains("still inside"), "{error}");
    inside.kill().unwrap();
    inside.wait().unwrap();
    bench.nothing_will_be_left();
    bench.attach("repo", &[]);
}

#[test]
fn force_kills_the_processes_inside() {
    let bench = Bench::new();
    bench.attach("repo", &[]);
    let mut inside = std::process::Command::new("sh")
        .args(["-c", "trap '' TERM; read forever"])
        .stdin(Stdio::piped())
        .current_dir(bench.path("m/src"))
        .spawn()
        .unwrap();
    failure(&mut bench.detach_command(&[]));
    bench.detach(&["--force"]);
    assert!(!inside.wait().unwrap().success());
    bench.nothing_is_left();
}

#[test]
fn a_relay_that_hangs_does_not_stop_detaches_of_shared_attachments() {
    let bench = Bench::new();
    bench.attach("repo", &[]);
    for name in ["m2", "m3", "m4"] {
        bench.attach_at(name, "repo", &[]);
    }
    fs::write(bench.path("m/new"), "mine").unwrap();
    fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
    let relay = bench.relay();
    send(relay, Signal::STOP);
    let mut stuck = std::process::Command::new("cat")
        .arg(bench.path("m4/src/deep/31.txt"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    bench.detach(&[]);
    bench.detach_from("m2", &["--force"]);
    bench.detach_from("m3", &["--lazy"]);
    bench.detach_from("m4", &["--lazy"]);
    bench.nothing_will_be_left();
    stuck.wait().unwrap();
}
