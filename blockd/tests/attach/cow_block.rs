//! `--cow block`: changes are kept as blocks of a disk.

use std::{fs, process::Command};

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Bench, failure, git, image, run, send};

const BLOCK: [&str; 2] = ["--cow", "block"];

#[test]
fn changed_blocks_are_kept_until_they_are_discarded() {
    let bench = Bench::new();
    let tree = bench.mountpoint();
    bench.attach_at("m2", "repo:free=1G", &[]);
    let report = bench.attach("repo:free=1G", &BLOCK);
    assert_eq!(
        (&report["diff"], &report["upper"]),
        (&"new".into(), &"block".into())
    );
    assert_eq!(bench.entries("lowers").len(), 2, "it shares nothing");
    fs::write(tree.join("README"), "changed\n").unwrap();
    git(&tree, &["mv", "src/deep", "src/deeper"]);
    git(&tree, &["commit", "-q", "-a", "-m", "second"]);
    let shown = fs::read_to_string(bench.path("m2/README")).unwrap();
    assert_eq!(shown, "a repository\n");
    let error = failure(bench.blockd(&["diff"]).arg(&tree));
    assert!(error.contains("blocks of a disk"), "{error}");
    assert_eq!(bench.detach(&[])["upper"], "block");
    let error = failure(&mut bench.attach_command("repo:free=1G", &["--upper", "state"]));
    assert!(error.contains("leave --upper out"), "{error}");

    assert_eq!(bench.attach("repo:free=1G", &[])["diff"], "kept");
    assert_eq!(git(&tree, &["log", "--format=%s"]), "second\nfirst\n");
    assert_eq!(git(&tree, &["status", "--short"]), "");
    assert_eq!(bench.detach(&["--discard"])["diff"], Value::Null);
    bench.detach_from("m2", &[]);
    bench.nothing_is_left();
    assert_eq!(bench.entries("places"), Vec::<String>::new());
}

#[test]
fn synced_files_survive_a_kill_of_the_relay() {
    let folder = tempfile::tempdir().unwrap();
    let journaled = folder.path().join("image");
    fs::copy(image(), &journaled).unwrap();
    run(Command::new("tune2fs")
        .args(["-O", "has_journal"])
        .arg(&journaled));
    let bench = Bench::with_server(&["file", journaled.to_str().unwrap()]);
    let tree = bench.mountpoint();
    bench.attach("repo", &BLOCK);
    for number in 0..20 {
        let path = tree.join(format!("synced-{number}"));
        fs::write(&path, format!("{number}\n").repeat(5000)).unwrap();
        fs::File::open(&path).unwrap().sync_all().unwrap();
    }
    run(Command::new("sync").arg("-f").arg(&tree));
    fs::write(tree.join("unsynced"), vec![1; 1 << 20]).unwrap();
    send(bench.relay(), Signal::KILL);
    bench.detach(&[]);
    bench.nothing_will_be_left();

    let report = bench.attach("repo", &[]);
    assert_eq!(report["diff"], "kept");
    for number in 0..20 {
        let read = fs::read_to_string(tree.join(format!("synced-{number}"))).unwrap();
        assert_eq!(read, format!("{number}\n").repeat(5000));
    }
    git(&tree, &["fsck", "--no-progress"]);
    bench.detach(&[]);
    bench.nothing_is_left();
}
