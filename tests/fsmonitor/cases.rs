//! Changes of which the upper layer keeps nothing, and git must be told all the same.

use std::{fs, os::unix::fs::chown, path::Path};

use super::{Tree, USER};
use crate::{
    harness::{hermetic, run, stdout},
    tools,
};

#[track_caller]
fn for_both(case: impl Fn(&Tree)) {
    for user in [0, USER] {
        case(&Tree::of(user, true));
    }
}

fn sh(tree: &Tree, script: &str) {
    run(tree.command("sh").args(["-ec", script]));
}

#[test]
fn what_is_added_and_deleted() {
    for_both(|tree| {
        sh(tree, "echo 1 >n; git add n; git status; rm n");
        tree.assert_status("AD n");
    });
}

#[test]
fn a_directory_that_is_moved_and_deleted() {
    for_both(|tree| {
        sh(tree, "git mv part0 p2; git status; rm -rf p2");
        let [asked, looked] = tree.both();
        assert_eq!(asked, looked);
        assert!(asked.lines().count() >= 15 && asked.lines().all(|line| line.starts_with("RD ")));
    });
}

#[test]
fn an_untracked_file_that_is_deleted() {
    for_both(|tree| {
        sh(tree, "echo 1 >n; git status");
        tree.assert_status("?? n");
        sh(tree, "rm n");
        tree.assert_status("");
    });
}

/// It copies what it does not understand, and the bits for files shift.
#[test]
fn an_index_that_dulwich_has_written() {
    let tree = Tree::of(0, true);
    sh(&tree, "git reset -q HEAD~1; git status; echo 1 >AAA");
    let before = tree.both();
    let add = Path::new(env!("CARGO_MANIFEST_DIR")).join("fsmonitor/add.py");
    run(tree.command(tools::python(true)).arg(add));
    let [asked, looked] = tree.both();
    assert_eq!(asked, looked);
    assert_eq!(asked.lines().count(), before[0].lines().count(), "{asked}");
    assert!(
        asked.contains("A  AAA\n") && asked.contains(" M part"),
        "{asked}"
    );
}

/// The first one asks, and writes nothing.
#[test]
fn the_first_status_leaves_nothing_behind() {
    for_both(|tree| {
        let before = upper(tree);
        let trace = tree.mounted.state().with_file_name("trace");
        fs::write(&trace, "").unwrap();
        chown(&trace, Some(tree.user), None).unwrap();
        let mut status = tree.git(&["status", "--porcelain"]);
        let ran = run(status.env("GIT_TRACE2_PERF", &trace));
        assert_eq!((ran.stdout, ran.stderr), (Vec::new(), Vec::new()));
        assert_eq!(upper(tree), before);
        let trace = fs::read_to_string(trace).unwrap();
        assert!(trace.contains("fsmonitor --upper"), "{trace}");
        assert!(trace.contains("opendir:0"), "{trace}");
    });
}

/// All files that the upper layer has.
fn upper(tree: &Tree) -> String {
    let places = tree.mounted.state().join("places");
    let mut find = hermetic("find");
    find.arg(places)
        .args(["-path", "*/upper/*", "!", "-type", "d"])
        .args(["-printf", "%P %s %T@\n"]);
    let found = stdout(&mut find);
    let mut lines: Vec<_> = found.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}
