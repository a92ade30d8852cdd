//! What cannot be attached, and what is said then.

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
    let said = bench.refused("repo@three", &[]);
    assert!(
        said.contains("repo@two") && said.contains("detach --discard"),
        "{said}"
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
    let said = failure(&mut bench.attach_command("repo", &[]));
    assert!(
        said.contains("attached at") && said.contains("already"),
        "{said}"
    );
    assert_eq!(git(&bench.mountpoint(), &["status", "--short"]), "");
}

#[test]
fn bad_inputs_are_told_with_the_way_out() {
    let bench = Bench::new();
    let file = bench.path("file");
    fs::write(&file, "x").unwrap();
    let attach = |mountpoint: &Path, uri: &str| {
        let mut command = bench.blockd(&["attach", "--via", "fuse", uri]);
        failure(command.arg(mountpoint))
    };
    let good = bench.uri("repo");
    let empty = bench.mountpoint();
    let has = |said: String, words: &str| assert!(said.contains(words), "{words:?} not in {said}");
    has(
        attach(&bench.path("missing"), &good),
        "make that directory first",
    );
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
    let nbd = failure(bench.blockd(&["attach", "--via", "nbd", &good]).arg(&empty));
    if !Path::new("/sys/block/nbd0").exists() {
        has(nbd, "this kernel has no nbd");
    }
    bench.nothing_is_left();
}

#[test]
fn who_may_not_mount_is_told() {
    let bench = Bench::new();
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=65534",
        "--clear-groups",
        env!("CARGO_BIN_EXE_blockd"),
        "attach",
    ]);
    command.args([&bench.uri("repo"), "/tmp", "--state", "/tmp/x"]);
    let said = failure(&mut command);
    assert!(
        said.contains("sudo") && said.contains("CAP_SYS_ADMIN"),
        "{said}"
    );
}

#[test]
fn an_unknown_export_is_told_in_the_servers_words() {
    let image = image().display().to_string();
    let bench = Bench::with_server(&[
        "--filter=exportname",
        "file",
        &image,
        "exportname=known",
        "exportname-strict=true",
    ]);
    let said = bench.refused("unknown", &[]);
    assert!(said.contains("refuses the export \"unknown\""), "{said}");
    bench.attach("known", &[]);
}

#[test]
fn a_disk_without_ext4_leaves_nothing() {
    let bench = Bench::with_server(&["memory", "64M"]);
    let said = bench.refused("repo", &[]);
    assert!(said.contains("no ext4"), "{said}");
}

#[test]
fn what_is_no_nbd_server_is_told() {
    let bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("nbd://{}/repo", listener.local_addr().unwrap());
    let web = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .unwrap();
    });
    let said = failure(bench.blockd(&["attach", &uri]).arg(bench.mountpoint()));
    assert!(
        said.contains("not an NBD server") && said.contains("NBDMAGIC"),
        "{said}"
    );
    web.join().unwrap();
}
