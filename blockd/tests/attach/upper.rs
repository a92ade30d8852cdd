//! Upper layers: in the state directory and on a tmpfs, full ones, and after a reboot.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use crate::harness::{Bench, failure, git, run};

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
