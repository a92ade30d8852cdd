//! `--volatile`: nothing is synced before the detach.

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Bench, failure, git, run, send};

const VOLATILE: &[&str] = &["--volatile"];

/// The only directory of a mountpoint.
fn place(bench: &Bench) -> PathBuf {
    let places = bench.entries("places");
    let [place] = places.as_slice() else {
        panic!("{places:?}")
    };
    bench.state().join("places").join(place)
}

/// What the kernel refuses to mount.
fn has_mark(bench: &Bench) -> bool {
    place(bench).join("work/work/incompat").exists()
}

fn is_mounted_volatile(tree: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let tree = format!(" {} ", tree.display());
    let mount = mounts.lines().find(|line| line.contains(&tree)).unwrap();
    mount.contains("volatile")
}

fn status(bench: &Bench) -> (Value, String) {
    let json = run(&mut bench.blockd(&["status", "--json"]));
    let json: Value = serde_json::from_str(&json).unwrap();
    let changes = json["attachments"][0]["diff"].clone();
    (changes, run(&mut bench.blockd(&["status"])))
}

fn diff_after_attach(bench: &Bench, more: &[&str]) -> Value {
    bench.attach("repo", more)["diff"].clone()
}

#[test]
fn a_detach_makes_changes_as_safe_as_any() {
    let bench = Bench::new();
    let tree = bench.mountpoint();
    let report = bench.attach("repo", VOLATILE);
    assert_eq!(report["upper"], "volatile");
    assert!(is_mounted_volatile(&tree) && has_mark(&bench));
    fs::write(tree.join("README"), "changed\n").unwrap();
    git(&tree, &["commit", "-q", "-a", "-m", "second"]);
    let (changes, text) = status(&bench);
    assert_eq!(changes["upper"], "volatile");
    assert_eq!(changes["incomplete"], false);
    assert!(text.contains("volatile: not synced"), "{text}");

    assert_eq!(bench.detach(&[])["upper"], "state");
    assert!(!has_mark(&bench));
    let record = fs::read_to_string(place(&bench).join("state.json")).unwrap();
    assert!(!record.contains("volatile"), "{record}");
    assert_eq!(diff_after_attach(&bench, &[]), "kept");
    assert!(!is_mounted_volatile(&tree));
    assert_eq!(git(&tree, &["log", "--format=%s"]), "second\nfirst\n");
    bench.detach(&[]);
    assert_eq!(diff_after_attach(&bench, VOLATILE), "kept");
    assert!(is_mounted_volatile(&tree));
    bench.detach(&["--discard"]);
    bench.nothing_is_left();
    assert_eq!(bench.entries("places"), Vec::<String>::new());
    bench.attach("repo", VOLATILE);
    assert_eq!(
        bench.detach(&[])["diff"],
        Value::Null,
        "nothing was changed"
    );
}

#[test]
fn what_died_without_the_machine_loses_nothing() {
    let bench = Bench::new();
    let tree = bench.mountpoint();
    for more in [&[], VOLATILE] {
        bench.attach("repo", VOLATILE);
        fs::write(tree.join("mine"), "mine").unwrap();
        send(bench.relay(), Signal::KILL);
        run(Command::new("umount").arg(&tree));
        assert!(has_mark(&bench));
        assert_eq!(diff_after_attach(&bench, more), "kept");
        assert_eq!(fs::read_to_string(tree.join("mine")).unwrap(), "mine");
        assert_eq!(is_mounted_volatile(&tree), !more.is_empty());

        // A detach that dies before it has synced, and one before it says so.
        bench.detach(&[]);
        bench.attach("repo", VOLATILE);
        for call in ["syncfs", "rename"] {
            let detach = bench.detach_command(&[]);
            let mut traced = Command::new("strace");
            traced.args(["-f", "-o", "/dev/null", "-e", &format!("trace={call}")]);
            traced.args(["-e", &format!("inject={call}:signal=SIGKILL")]);
            traced.arg(detach.get_program()).args(detach.get_args());
            let ended = traced.output().expect("strace: install it").status;
            assert!(
                ended.signal() == Some(9) || ended.code() == Some(137),
                "{call}: {ended}"
            );
        }
        assert_eq!(diff_after_attach(&bench, more), "kept");
        assert_eq!(fs::read_to_string(tree.join("mine")).unwrap(), "mine");
        bench.detach(&["--discard"]);
        bench.nothing_is_left();
    }
}

#[test]
fn what_the_machine_took_along_is_refused() {
    let bench = Bench::new();
    let tree = bench.mountpoint();
    bench.attach("repo", VOLATILE);
    fs::write(tree.join("mine"), "mine").unwrap();
    bench.reboot(&["m"]);
    let (changes, text) = status(&bench);
    assert_eq!(changes["incomplete"], true);
    assert!(text.contains("may be incomplete"), "{text}");
    bench.detach(&[]);
    for more in [&[], VOLATILE] {
        let error = bench.refused("repo", more);
        assert!(
            error.contains("the machine went down")
                && error.contains("detach --discard")
                && error.contains("--accept-loss"),
            "{error}"
        );
    }
    bench.attach("repo", &["--read-only"]);
    bench.detach(&[]);
    assert_eq!(diff_after_attach(&bench, &["--accept-loss"]), "kept");
    assert_eq!(fs::read_to_string(tree.join("mine")).unwrap(), "mine");
    bench.detach(&[]);
    assert_eq!(diff_after_attach(&bench, VOLATILE), "kept");

    // Everything was lost, and with it the mark of the kernel.
    bench.reboot(&["m"]);
    fs::remove_file(place(&bench).join("upper/mine")).unwrap();
    fs::remove_dir_all(place(&bench).join("work/work/incompat")).unwrap();
    assert!(bench.refused("repo", &[]).contains("--accept-loss"));
    bench.detach(&[]);
    assert!(bench.refused("repo", &[]).contains("--accept-loss"));
    bench.detach(&["--discard"]);
    assert_eq!(diff_after_attach(&bench, &[]), "new");
}

#[test]
fn it_is_for_an_overlay_in_the_state_directory() {
    let bench = Bench::new();
    for (more, reason) in [
        (&["--read-only"][..], "nothing is written"),
        (&["--upper", "tmpfs"], "nothing is synced anyhow"),
        (&["--cow", "block"], "nothing is copied up"),
    ] {
        let error = bench.refused("repo", &[VOLATILE, more].concat());
        assert!(
            error.contains("leave it out") && error.contains(reason),
            "{error}"
        );
    }
    let error = bench.refused("repo", &["--upper", "volatile"]);
    assert!(error.contains("give --volatile"), "{error}");
    bench.attach("repo", &["--upper", "tmpfs"]);
    fs::write(bench.mountpoint().join("mine"), "mine").unwrap();
    bench.detach(&[]);
    let error = failure(&mut bench.attach_command("repo", VOLATILE));
    assert!(error.contains("leave --volatile out"), "{error}");
    bench.detach(&["--discard"]);
    bench.nothing_is_left();
}
