//! What cannot be attached, and the error messages.

use std::{fs, io::Write, net::TcpListener, path::Path, process::Command, thread};

use crate::harness::{Bench, failure, git, image};

#[test]
fn changes_to_another_export_are_not_mixed() {
    let bench = Bench::new();
    bench.attach("repo@one", &[]);
    let lock = bench.mountpoint().join(".git/index.lock");
    fs::write(&lock, "").unwrap();
    fs::remove_file(lock).unwrap();
    assert_eq!(bench.detach(&[])["diff"], serde_json::Value::Null);
    bench.attach("repo@two", &[]);
    fs::write(bench.mountpoint().join("new"), "x").unwrap();
    bench.detach(&[]);
    let error = bench.refused("repo@three", &[]);
    assert!(
        error.contains("repo@two") && error.contains("detach --discard"),
        "{error}"
    );
    bench.attach("repo@three", &["--read-only"]);
    bench.detach(&[]);
    assert_eq!(bench.attach("repo@two", &[])["diff"], "kept");
    assert!(bench.mountpoint().join("new").exists());
}

#[test]
fn an_attached_mountpoint_is_not_attached_again() {
    let bench = Bench::new();
    bench.attach("repo", &[]);
    let error = failure(&mut bench.attach_command("repo", &[]));
    assert!(
        error.contains("attached at") && error.contains("already"),
        "{error}"
    );
    assert_eq!(git(&bench.mountpoint(), &["status", "--short"]), "");
}

#[test]
fn errors_say_what_to_do() {
    let bench = Bench::new();
    let file = bench.path("file");
    fs::write(&file, "x").unwrap();
    let attach = |mountpoint: &Path, uri: &str| {
        let mut command = bench.blockd(&["attach", "--via", "fuse", uri]);
        failure(command.arg(mountpoint))
    };
    let good = bench.uri("repo");
    let empty = bench.mountpoint();
    let has = |error: String, words: &str| {
        assert!(error.contains(words), "{words:?} not in {error}");
    };
    has(attach(&file, &good), "not a directory");
    has(
        attach(bench.path("").as_path(), &good),
        "choose another with --state",
    );
    has(attach(&empty, "nbds+unix:///e?socket=/s"), "needs no TLS");
    has(attach(&empty, "http://h/e"), "must begin with nbd://");
    has(attach(&empty, "nbd://127.0.0.1:1/e"), "Connection refused");
    has(
        attach(&empty, "nbd+unix:///e?socket=/nowhere"),
        "No such file",
    );
    fs::create_dir(bench.path("full")).unwrap();
    fs::write(bench.path("full/x"), "x").unwrap();
    has(attach(&bench.path("full"), &good), "not empty");
    if !Path::new("/sys/block/nbd0").exists() {
        let nbd = failure(bench.blockd(&["attach", "--via", "nbd", &good]).arg(&empty));
        has(nbd, "this kernel has no nbd");
    }
    bench.nothing_is_left();
}

#[test]
fn attach_without_privilege_is_an_error() {
    let bench = Bench::new();
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=65534",
        "--clear-groups",
        env!("CARGO_BIN_EXE_blockd"),
        "attach",
    ]);
    command.args([&bench.uri("repo"), "/tmp", "--state", "/tmp/x"]);
    let error = failure(&mut command);
    assert!(
        error.contains("sudo") && error.contains("CAP_SYS_ADMIN"),
        "{error}"
    );
}

#[test]
fn an_unknown_export_is_refused_in_the_words_of_the_server() {
    let image = image().display().to_string();
    let bench = Bench::with_server(&[
        "--filter=exportname",
        "file",
        &image,
        "exportname=known",
        "exportname-strict=true",
    ]);
    let error = bench.refused("unknown", &[]);
    assert!(error.contains("refuses the export \"unknown\""), "{error}");
    bench.attach("known", &[]);
}

#[test]
fn a_disk_without_ext4_leaves_nothing() {
    let bench = Bench::with_server(&["memory", "64M"]);
    let error = bench.refused("repo", &[]);
    assert!(error.contains("no ext4"), "{error}");
}

#[test]
fn a_server_that_is_not_nbd_is_an_error() {
    let bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("nbd://{}/repo", listener.local_addr().unwrap());
    let web = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .unwrap();
    });
    let error = failure(bench.blockd(&["attach", &uri]).arg(bench.mountpoint()));
    assert!(
        error.contains("not an NBD server") && error.contains("NBDMAGIC"),
        "{error}"
    );
    web.join().unwrap();
}
