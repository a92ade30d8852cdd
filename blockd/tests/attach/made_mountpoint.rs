//! A mountpoint that is not there is made, and taken away with what is attached.

use std::{
    fs::{self, File},
    os::unix::{fs::symlink, net::UnixListener},
    path::PathBuf,
    process::{Child, Command},
};

use serde_json::Value;

use crate::harness::{Bench, failure, run, wait_until};

/// Two directories that are not there.
const NEW: &str = "new/tree";

fn attach(bench: &Bench, more: &[&str]) -> Command {
    let mut command = bench.blockd(&["attach", "--via", "fuse", "--json", &bench.uri("repo")]);
    command.arg(bench.path(NEW)).args(more);
    command
}

/// Nothing of an attachment, and no directory of it.
fn nothing_is_left(bench: &Bench) {
    bench.nothing_is_left();
    assert!(!bench.path("new").exists());
    assert_eq!(bench.entries("places"), [""; 0]);
}

#[test]
fn it_is_made_by_attach_and_removed_by_detach() {
    let bench = Bench::new();
    run(&mut attach(&bench, &[]));
    assert!(bench.path(NEW).join("README").exists());
    bench.detach_from(NEW, &[]);
    nothing_is_left(&bench);

    // The changes are found again by the path alone, through a link too.
    run(&mut attach(&bench, &[]));
    fs::write(bench.path(NEW).join("mine"), "x").unwrap();
    bench.detach_from(NEW, &[]);
    assert!(!bench.path("new").exists());
    symlink(bench.path(""), bench.path("link")).unwrap();
    let through = bench.path("link").join(NEW);
    assert!(run(bench.blockd(&["diff"]).arg(&through)).contains("mine"));
    let report = run(&mut attach(&bench, &[]));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["diff"], "kept");
    run(bench.blockd(&["detach", "--discard"]).arg(through));
    nothing_is_left(&bench);
}

#[test]
fn what_holds_something_else_stays() {
    let bench = Bench::new();
    run(&mut attach(&bench, &["--read-only"]));
    fs::write(bench.path("new/notes"), "x").unwrap();
    bench.detach_from(NEW, &[]);
    assert!(!bench.path(NEW).exists());
    assert!(bench.path("new/notes").exists());

    // What was there before is nobody's to remove.
    bench.attach("repo", &[]);
    bench.detach(&[]);
    assert!(bench.mountpoint().exists());
}

#[test]
fn a_lazy_detach_removes_it_too() {
    let bench = Bench::new();
    run(&mut attach(&bench, &[]));
    let open = File::open(bench.path(NEW).join("README")).unwrap();
    bench.detach_from(NEW, &["--lazy"]);
    assert!(!bench.path("new").exists());
    drop(open);
    bench.nothing_will_be_left();
    bench.detach_from(NEW, &[]);
    nothing_is_left(&bench);
}

#[test]
fn an_attach_that_fails_leaves_no_directory() {
    let bench = Bench::new();
    let attach =
        |uri: &str, mountpoint: PathBuf| failure(bench.blockd(&["attach", uri]).arg(mountpoint));
    let error = attach("nbd+unix:///e?socket=/nowhere", bench.path(NEW));
    assert!(error.contains("No such file"), "{error}");
    nothing_is_left(&bench);
    fs::write(bench.path("file"), "").unwrap();
    let error = attach(&bench.uri("repo"), bench.path("file/tree"));
    assert!(error.contains("Not a directory"), "{error}");
    let error = attach(&bench.uri("repo"), bench.path("new/../tree"));
    assert!(error.contains("make that directory first"), "{error}");
    nothing_is_left(&bench);
}

/// An attach that waits for a server that says nothing.
fn waiting(bench: &Bench) -> (UnixListener, Child) {
    let socket = bench.path("silent");
    let silent = UnixListener::bind(&socket).unwrap();
    let uri = format!("nbd+unix:///e?socket={}", socket.display());
    let mut attach = bench.blockd(&["attach", &uri]);
    let attach = attach.arg(bench.path(NEW)).spawn().unwrap();
    wait_until("the directory is made", || bench.path(NEW).exists());
    (silent, attach)
}

#[test]
fn an_attach_that_was_killed_is_cleaned_up_by_detach() {
    let bench = Bench::new();
    let (_silent, mut attach) = waiting(&bench);
    attach.kill().unwrap();
    attach.wait().unwrap();
    assert!(bench.path(NEW).exists());
    bench.detach_from(NEW, &[]);
    nothing_is_left(&bench);
}
