//! Attach and detach with real mounts: FUSE, loop device, ext4, overlay, and git on
//! top. The server is nbdkit. They must be run as root.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod busy_mountpoint;
mod cow_block;
mod crash_recovery;
mod environment;
mod file_times;
mod harness;
mod hostile_tree;
mod hydrate;
mod invalid_input;
mod kept_changes;
mod local_repository;
mod made_mountpoint;
mod mount_helper;
mod relay_failure;
mod releases;
mod serving;
mod shared_lower;
mod static_dev;
mod status_text;
mod superblock;
mod upper;
mod volatile;

use std::{fs, io, os::unix::fs::MetadataExt, path::Path, process::Command};

use self::harness::{Bench, failure, git, image, run, wait_until};

#[test]
fn changes_are_kept_from_detach_to_attach_until_they_are_discarded() {
    let bench = Bench::new();
    let tree = bench.mountpoint();
    let report = bench.attach("repo@main", &[]);
    assert_eq!(report["export"], "repo@main");
    assert_eq!(report["via"], "fuse");
    assert_eq!(report["diff"], "new");
    assert_eq!(report["warnings"], serde_json::json!([]));
    assert_eq!(git(&tree, &["status", "--short"]), "");
    assert_eq!(
        fs::read_to_string(tree.join("link")).unwrap(),
        "file 7\n".repeat(140)
    );

    fs::write(tree.join("README"), "changed\n").unwrap();
    git(&tree, &["mv", "src/deep", "src/deeper"]);
    git(&tree, &["commit", "-q", "-a", "-m", "second"]);
    git(&tree, &["fsck", "--no-progress"]);
    let detached = bench.detach(&[]);
    assert_eq!(detached["export"], "repo@main");
    assert_eq!(detached["diff"], "repo@main");
    bench.nothing_is_left();
    assert_eq!(fs::read_dir(&tree).unwrap().count(), 0);

    assert_eq!(bench.attach("repo@main", &[])["diff"], "kept");
    assert_eq!(git(&tree, &["log", "--format=%s"]), "second\nfirst\n");
    assert_eq!(git(&tree, &["status", "--short"]), "");
    assert!(tree.join("src/deeper/7.txt").exists());

    let detached = bench.detach(&["--discard"]);
    assert_eq!(detached["diff"], serde_json::Value::Null);
    bench.nothing_is_left();
    assert_eq!(bench.attach("repo@main", &[])["diff"], "new");
    assert_eq!(git(&tree, &["log", "--format=%s"]), "first\n");
}

#[test]
fn every_kind_of_change_is_kept() {
    let bench = Bench::new();
    let tree = bench.mountpoint();
    let changes: [fn(&Path) -> io::Result<()>; 5] = [
        |tree| fs::create_dir(tree.join("src/new")),
        |tree| fs::remove_file(tree.join("src/deep/1.txt")),
        |tree| fs::rename(tree.join("src/deep"), tree.join("src/deeper")),
        |tree| fs::remove_dir_all(tree.join("src")),
        |tree| fs::remove_dir_all(tree.join("src")).and_then(|()| fs::create_dir(tree.join("src"))),
    ];
    for change in changes {
        bench.attach("repo", &[]);
        change(&tree).unwrap();
        let listing = run(Command::new("find").arg(&tree));
        assert_eq!(bench.detach(&[])["diff"], "repo");
        assert_eq!(bench.attach("repo", &[])["diff"], "kept");
        assert_eq!(run(Command::new("find").arg(&tree)), listing);
        bench.detach(&["--discard"]);
    }
}

#[test]
fn read_only_shows_the_export_itself() {
    let bench = Bench::new();
    let tree = bench.mountpoint();
    let report = bench.attach("repo@main", &["--read-only"]);
    assert_eq!(report["diff"], "none");
    assert_eq!(
        fs::read_to_string(tree.join("README")).unwrap(),
        "a repository\n"
    );
    let refused = fs::write(tree.join("README"), "x").unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ReadOnlyFilesystem);
    bench.detach(&[]);
    bench.nothing_is_left();
}

#[test]
fn detach_succeeds_where_nothing_is_attached() {
    let bench = Bench::new();
    assert_eq!(bench.detach(&[])["export"], serde_json::Value::Null);
    bench.attach("repo", &[]);
    assert_eq!(bench.detach(&[])["export"], "repo");
    assert_eq!(bench.detach(&[])["export"], serde_json::Value::Null);
    bench.nothing_is_left();
}

#[test]
fn uid_and_gid_own_the_files() {
    let bench = Bench::new();
    let report = bench.attach("repo", &["--uid", "1234", "--gid", "99"]);
    assert_eq!(report["export"], "repo:uid=1234:gid=99");
    let root = fs::metadata(bench.mountpoint()).unwrap();
    assert_eq!(
        (root.uid(), root.gid(), root.mode() & 0o7777),
        (1234, 99, 0o755)
    );
}

#[test]
fn the_user_who_calls_sudo_owns_the_files() {
    let bench = Bench::new();
    let mut attach = bench.attach_command("repo", &[]);
    run(attach.env("SUDO_UID", "1001").env("SUDO_GID", "1002"));
    assert_eq!(bench.detach(&[])["export"], "repo:uid=1001:gid=1002");
    let error = failure(attach.env("SUDO_UID", "me"));
    assert!(error.contains("SUDO_UID=me: expected a number"), "{error}");
    bench.nothing_is_left();
}

#[test]
fn the_metadata_is_read_ahead_after_the_mount() {
    let image = image().display().to_string();
    let bench = Bench::with_server(&[
        "--filter=exportname",
        "--filter=stats",
        "file",
        &image,
        "exportdesc=fixed:a repository, prefix=8388608",
        "statsfile=/dev/null",
    ]);
    let report = bench.attach("repo", &["--read-only"]);
    let device = report["device"]
        .as_str()
        .unwrap()
        .strip_prefix("/dev/")
        .unwrap()
        .to_owned();
    // Sectors read so far: proc(5), diskstats.
    wait_until("the metadata is read", || {
        let stat = fs::read_to_string(format!("/sys/block/{device}/stat")).unwrap();
        let sectors: u64 = stat.split_whitespace().nth(2).unwrap().parse().unwrap();
        sectors * 512 >= 8 << 20
    });
}
