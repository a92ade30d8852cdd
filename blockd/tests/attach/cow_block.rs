//! `--cow block`: changes are kept as blocks of a disk.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
    process::Command,
    ptr::null_mut,
};

use rustix::{
    mm::{MapFlags, ProtFlags, mmap, munmap},
    process::Signal,
};
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

/// What a shared map and an open file show of a file that is then written to.
fn seen_after_write(tree: &Path, content: &[u8; 8]) -> (String, String) {
    let open = File::open(tree.join("README")).unwrap();
    // SAFETY: nothing else is at an address that the kernel chooses.
    #[expect(unsafe_code, reason = "a map is what is tested")]
    let map = unsafe { mmap(null_mut(), 8, ProtFlags::READ, MapFlags::SHARED, &open, 0) };
    let map = map.unwrap();
    fs::write(tree.join("README"), content).unwrap();
    let mut read = [0; 8];
    open.read_exact_at(&mut read, 0).unwrap();
    // SAFETY: the file has 8 bytes again, and is not shortened any more.
    #[expect(unsafe_code, reason = "a map is what is tested")]
    let mapped = unsafe { map.cast::<[u8; 8]>().read_volatile() };
    // SAFETY: nothing refers to it any more.
    #[expect(unsafe_code, reason = "a map is what is tested")]
    unsafe { munmap(map, 8) }.unwrap();
    let text = |bytes: [u8; 8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(mapped), text(read))
}

/// The manual says so of both.
#[test]
fn a_shared_map_goes_stale_over_an_overlay_only() {
    let bench = Bench::new();
    let tree = bench.mountpoint();
    bench.attach("repo:free=1G", &BLOCK);
    let seen = |content| {
        let (mapped, read) = seen_after_write(&tree, content);
        assert_eq!(
            read.as_bytes(),
            content,
            "an open file shows what is written"
        );
        mapped
    };
    assert_eq!(seen(b"changed\n"), "changed\n");
    bench.detach(&["--discard"]);
    bench.attach("repo:free=1G", &[]);
    assert_eq!(seen(b"changed\n"), "a reposi", "it is copied up");
    assert_eq!(seen(b"again..."), "again...");
    bench.detach(&["--discard"]);
    bench.nothing_is_left();
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
        File::open(&path).unwrap().sync_all().unwrap();
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
