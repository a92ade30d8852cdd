//! Kept changes go on over another disk of the same work tree, and servers that
//! cannot take over from one another are refused.

use std::{
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::{
    harness::{Bench, failure, git, run, wait_until},
    serving::serve,
};

/// A repository with ten commits beside the directory, and two mirrors of it that
/// are packed differently: `r` in the directory, and another beside it.
fn mirrors(directory: &Path) {
    let [source, others] = ["source", "others"].map(|name| directory.with_file_name(name));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&others).unwrap();
    git(&source, &["init", "-q", "-b", "main"]);
    for number in 0..10 {
        let text = format!("line {number}\n").repeat(400 + number);
        fs::write(source.join("file"), text).unwrap();
        git(&source, &["add", "."]);
        git(&source, &["commit", "-q", "-m", "next"]);
    }
    let source = source.to_string_lossy().into_owned();
    for (parent, compression) in [(directory, "9"), (&*others, "0")] {
        git(
            parent,
            &["clone", "-q", "--mirror", "--no-local", &source, "r"],
        );
        let compression = format!("pack.compression={compression}");
        git(&parent.join("r"), &["-c", &compression, "repack", "-adFq"]);
    }
}

/// A server of the other mirror, killed when it is dropped.
struct Other {
    socket: PathBuf,
    server: Child,
}

impl Other {
    fn of(bench: &Bench) -> Self {
        let socket = bench.path("s2");
        let mut server = serve(&bench.path("others"), &bench.path("served2"));
        server.arg("--unix").arg(&socket).stdout(Stdio::null());
        let server = server.spawn().unwrap();
        wait_until("it listens", || UnixStream::connect(&socket).is_ok());
        Self { socket, server }
    }

    /// Attaches from it at the bench's mountpoint.
    fn attach(&self, bench: &Bench) -> Command {
        let uri = self.uri("r@main");
        let mut attach = bench.blockd(&["attach", "--via", "fuse", "--json", &uri]);
        attach.arg(bench.mountpoint());
        attach
    }

    fn uri(&self, export: &str) -> String {
        format!("nbd+unix:///{export}?socket={}", self.socket.display())
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}

/// Changes the record of the only mountpoint, as another release has it.
fn edit_record(bench: &Bench, edit: impl FnOnce(&mut Value)) -> PathBuf {
    let place = bench
        .state()
        .join("places")
        .join(&bench.entries("places")[0]);
    let path = place.join("state.json");
    let mut record = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    edit(&mut record);
    fs::write(path, record.to_string()).unwrap();
    place
}

#[test]
fn a_server_that_cannot_take_over_is_refused_and_one_that_is_down_is_not() {
    let bench = Bench::serving(mirrors);
    let other = Other::of(&bench);
    let error = bench.refused("r@main", &["--also", &other.uri("r@main")]);
    assert!(error.contains("cannot take over: it shows r@"), "{error}");
    let report = bench.attach("r@main", &["--also", "nbd+unix:///r?socket=/nowhere"]);
    let warning = report["warnings"][0].as_str().unwrap();
    assert!(warning.contains("does not answer"), "{warning}");
    bench.detach(&["--discard"]);
}

#[test]
fn changes_go_on_over_the_other_mirror() {
    let bench = Bench::serving(mirrors);
    let tree = bench.mountpoint();
    let report = bench.attach("r@main", &[]);
    // git sets the time of the pack that has this object.
    git(&tree, &["hash-object", "-w", "file"]);
    fs::write(tree.join("file"), "changed\n").unwrap();
    fs::write(tree.join("new"), "new\n").unwrap();
    git(&tree, &["add", "."]);
    git(&tree, &["commit", "-q", "-m", "mine"]);
    bench.detach(&[]);

    let other = Other::of(&bench);
    let again: Value = serde_json::from_str(&run(&mut other.attach(&bench))).unwrap();
    assert_ne!(report["export"], again["export"], "the packs differ");
    let warning = again["warnings"][0].as_str().unwrap();
    assert!(warning.contains("over the same commit"), "{warning}");
    assert_eq!(git(&tree, &["log", "--format=%s", "-2"]), "mine\nnext\n");
    assert_eq!(git(&tree, &["status", "--short"]), "");
    git(&tree, &["fsck", "--no-progress"]);
    assert_eq!(fs::read_to_string(tree.join("new")).unwrap(), "new\n");
    bench.detach(&["--discard"]);
}

/// Records of releases before have names of layout 2 or 3.
#[test]
fn files_changed_over_a_layout_before_go_on_and_blocks_are_refused() {
    let bench = Bench::serving(mirrors);
    let tree = bench.mountpoint();
    bench.attach("r@main", &[]);
    let commit = git(&tree, &["rev-parse", "HEAD"]);
    git(&tree, &["commit", "-q", "--allow-empty", "-m", "mine"]);
    fs::write(tree.join("new"), "new\n").unwrap();
    bench.detach(&[]);
    let old = format!("r@{}:layout=2:snapshot=0123456789abcdef", commit.trim());
    let last = format!("r@{}:layout=3:snapshot=01:head=main:mtime=5", commit.trim());
    // By the old name, too, which no server has any more.
    for (name, old) in [
        ("r@main", &old),
        (&old, &old),
        ("r@main", &last),
        (&last, &last),
    ] {
        edit_record(&bench, |record| {
            record["diff"]["export"] = old.clone().into();
        });
        assert_eq!(bench.attach(name, &[])["diff"], "kept");
        assert_eq!(git(&tree, &["status", "--short"]), "?? new\n");
        assert_eq!(git(&tree, &["branch", "--show-current"]), "main\n");
        assert_eq!(git(&tree, &["log", "--format=%s", "-1"]), "mine\n");
        bench.detach(&[]);
    }

    let place = edit_record(&bench, |record| {
        record["diff"]["export"] = format!("{old}:free=8589934592").into();
        record["diff"]["upper"] = "block".into();
    });
    let blocks = place.join("blocks");
    fs::create_dir(&blocks).unwrap();
    fs::write(blocks.join("data"), "x").unwrap();
    let error = failure(&mut bench.attach_command("r@main", &[]));
    assert!(error.contains("are blocks of r@"), "{error}");
    assert!(blocks.join("data").exists(), "nothing is lost");
    bench.detach(&["--discard"]);
}

/// An error that names a command names one that works.
#[test]
fn the_command_that_goes_on_with_changes_of_another_commit_works() {
    let bench = Bench::serving(mirrors);
    let tree = bench.mountpoint();
    bench.attach("r@main~1", &[]);
    fs::write(tree.join("new"), "new\n").unwrap();
    bench.detach(&[]);
    let other = Other::of(&bench);
    let error = failure(&mut other.attach(&bench));
    let (_, command) = error.split_once("`blockd ").unwrap();
    let (command, _) = command.split_once('`').unwrap();
    run(&mut bench.blockd(&command.split(' ').collect::<Vec<_>>()));
    assert!(tree.join("new").exists());
    bench.detach(&["--discard"]);
}
