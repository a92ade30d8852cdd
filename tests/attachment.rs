//! `blockd attach`: whose a mounted tree is, what may be written, and what stays.

use std::{fs, os::unix::fs::MetadataExt};

use crate::harness::{Mounted, Tree, fails, git, history, program, run, stdout};

#[test]
fn the_owner_is_who_asks() {
    let (_, server) = history();
    let owner = |mounted: &Mounted| {
        let metadata = fs::metadata(mounted.path().join("README.md")).unwrap();
        let folder = fs::metadata(mounted.path()).unwrap();
        assert_eq!(
            (folder.uid(), folder.gid()),
            (metadata.uid(), metadata.gid())
        );
        (metadata.uid(), metadata.gid())
    };
    let uri = server.uri("history");
    assert_eq!(owner(&Mounted::attach(&uri)), (0, 0));
    let chosen = Mounted::attach_with(&uri, &["--uid", "1234", "--gid", "2345"]);
    assert_eq!(owner(&chosen), (1234, 2345));
    let sudo = Mounted::attach_as_sudo(&uri, 1001, 1002);
    assert_eq!(owner(&sudo), (1001, 1002));
    // A stranger's work tree would be of "dubious ownership" to git.
    run(program("chmod")
        .arg("a+rx")
        .arg(sudo.path().parent().unwrap()));
    let mut status = program("setpriv");
    status
        .args([
            "--reuid=1001",
            "--regid=1002",
            "--clear-groups",
            "git",
            "-C",
        ])
        .arg(sudo.path());
    let mut status_env = crate::harness::HERMETIC.to_vec();
    status_env.push(("HOME", "/nonexistent"));
    assert_eq!(
        stdout(status.args(["status", "--porcelain"]).envs(status_env)),
        ""
    );
}

#[test]
fn a_diff_outlives_detach_until_it_is_discarded() {
    let (repo, server) = history();
    let uri = server.uri(&format!("history@{}", repo.id("main")));
    let mounted = Mounted::attach(&uri);
    fs::write(mounted.path().join("new"), "mine").unwrap();
    run(&mut mounted.git(&["add", "new"]));
    run(&mut mounted.git(&["commit", "-q", "-m", "mine"]));
    let mine = stdout(&mut mounted.git(&["rev-parse", "HEAD"]));
    mounted.detach();
    mounted.attach_again(&uri);
    assert_eq!(stdout(&mut mounted.git(&["rev-parse", "HEAD"])), mine);
    mounted.assert_clean();
    run(mounted.detach_command().arg("--discard"));
    mounted.attach_again(&uri);
    assert_eq!(
        stdout(&mut mounted.git(&["rev-parse", "HEAD"])),
        repo.id("main")
    );
    assert!(!mounted.path().join("new").exists());
    mounted.assert_clean();
}

#[test]
fn a_disk_of_ones_own_is_a_work_tree_like_any_other() {
    let (repo, server) = history();
    let uri = server.uri("history");
    let mounted = Mounted::attach_with(&uri, &["--cow", "block"]);
    mounted.assert_clean();
    let checkout = Tree::of_folder(repo.checkout("main").path());
    Tree::of_folder(&mounted.path()).assert_same_as(&checkout, "--cow block");
    run(&mut mounted.git(&["mv", "src/part1", "src/moved"]));
    run(&mut mounted.git(&["commit", "-q", "-m", "moved"]));
    run(&mut mounted.git(&["fsck", "--no-progress"]));
    let changed = &mounted.status()["relay"]["changed"];
    assert!(changed["blocks"].as_u64().unwrap() > 0, "{changed}");
    mounted.detach();
    mounted.attach_again(&uri);
    mounted.assert_clean();
    assert!(mounted.path().join("src/moved/file1.c").exists());
    run(mounted.detach_command().arg("--discard"));
}

#[test]
fn read_only_is_read_only_and_clean() {
    let (repo, server) = history();
    let mounted = Mounted::attach_with(&server.uri("history"), &["--read-only"]);
    mounted.assert_clean();
    let checkout = Tree::of_folder(repo.checkout("main").path());
    Tree::of_folder(&mounted.path()).assert_same_as(&checkout, "--read-only");
    let error = fs::write(mounted.path().join("new"), "").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    assert!(fails(&mut mounted.git(&["commit", "--allow-empty", "-m", "x"])).contains("ead-only"));
}

#[test]
fn the_environment_asks_for_read_only_as_people_write_it() {
    let (_repo, server) = history();
    for (value, expected) in [("1", true), ("true", true), ("no", false), ("", false)] {
        let mounted = Mounted::nowhere();
        let mut attach = mounted.attach_command(&server.uri("history"));
        run(attach.env("BLOCKD_READ_ONLY", value));
        let is_read_only = fs::write(mounted.path().join("new"), "").is_err();
        assert_eq!(is_read_only, expected, "{value:?}");
        mounted.detach();
    }
}

#[test]
fn two_attachments_of_one_export_know_nothing_of_each_other() {
    let (_, server) = history();
    let uri = server.uri("history");
    let (one, two) = (Mounted::attach(&uri), Mounted::attach(&uri));
    fs::write(one.path().join("README.md"), "one").unwrap();
    fs::write(two.path().join("README.md"), "two").unwrap();
    one.detach();
    assert_eq!(
        fs::read_to_string(two.path().join("README.md")).unwrap(),
        "two"
    );
    assert_eq!(
        stdout(git(&two.path()).args(["status", "--porcelain"])),
        " M README.md"
    );
}
