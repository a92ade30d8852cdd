//! TLS: what other NBD programs take for it, and what is refused.

use std::{
    ffi::OsString,
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Stdio},
    thread,
    time::Duration,
};

use crate::harness::{
    Certificates, Fixture, GuestRun, Mounted, TestBlockd, TestRepo, Tree, blockd, fails, program,
    run, sha256_of, stdout,
};

/// A repository, a server of it that takes TLS only, and whom it believes.
struct Secured {
    repo: TestRepo,
    server: TestBlockd,
    certificates: Certificates,
}

impl Secured {
    fn start(more: &[&str]) -> Self {
        let repo = Fixture::get("history").repo("history");
        let certificates = Certificates::new();
        let folder = certificates.of("server");
        let arguments = ["--tls", folder.to_str().unwrap()];
        let server = TestBlockd::serve_tls(repo.folder(), &[&arguments, more].concat());
        Self {
            repo,
            server,
            certificates,
        }
    }

    /// For somebody who has the certificates of this folder.
    fn uri(&self, host: &str, who: &Path) -> String {
        let port = self.server.port();
        format!(
            "nbds://{host}:{port}/history@main?tls-certificates={}",
            who.display()
        )
    }

    fn stranger(&self) -> String {
        self.uri("localhost", &self.certificates.of("stranger"))
    }
}

#[test]
fn other_clients_read_in_tls() {
    let secured = Secured::start(&[]);
    let listing = stdout(program("nbdinfo").arg(secured.stranger()));
    assert!(
        listing.contains("protocol: newstyle-fixed with TLS"),
        "{listing}"
    );
    assert!(listing.contains("history@"), "{listing}");
    let folder = tempfile::tempdir().unwrap();
    let [through_tls, plain] = ["tls", "plain"].map(|name| folder.path().join(name));
    run(program("nbdcopy").arg(secured.stranger()).arg(&through_tls));
    let state = folder.path().join("state");
    let export = format!("{}@main", secured.repo.path().display());
    run(blockd()
        .arg("image")
        .arg(export)
        .arg(&plain)
        .arg("--state")
        .arg(state));
    assert_eq!(sha256_of(&through_tls), sha256_of(&plain));
    let certificates = secured.certificates.of("stranger");
    let credentials = format!(
        "tls-creds-x509,id=tls,endpoint=client,dir={}",
        certificates.display()
    );
    let options = format!(
        "driver=nbd,server.type=inet,server.host=localhost,server.port={},export=history@main,tls-creds=tls",
        secured.server.port()
    );
    let mut compare = program("qemu-img");
    compare.args([
        "compare",
        "--object",
        &credentials,
        "--image-opts",
        &options,
    ]);
    let plain = format!(
        "driver=raw,file.driver=file,file.filename={}",
        plain.display()
    );
    run(compare.arg(plain));
    let mut list = program("nbd-client");
    list.args([
        "-l",
        "localhost",
        &secured.server.port().to_string(),
        "-x",
        "-A",
    ]);
    let listed = stdout(list.arg(certificates.join("ca-cert.pem")));
    assert!(listed.contains("history"), "{listed}");
}

#[test]
fn the_kernel_reads_in_tls_through_stock_nbd_client() {
    let secured = Secured::start(&[]);
    let authority = secured.certificates.of("stranger").join("ca-cert.pem");
    let port = secured.server.port();
    let guest = GuestRun::of(&format!(
        "cat >/tmp/ca-cert.pem <<'END'\n{}END
        nbd-client 192.0.2.2 {port} /dev/nbd0 -N history@main -b 4096 -x -A /tmp/ca-cert.pem -H localhost
        mkdir /lower
        mount -t ext4 -o ro /dev/nbd0 /lower
        cd /lower
        git fsck --no-progress
        echo \"head: $(git rev-parse HEAD)\"
        cd /
        umount /lower
        nbd-client -d /dev/nbd0",
        fs::read_to_string(authority).unwrap()
    ));
    guest.assert_ended_well();
    guest.assert_kernel_content();
    assert_eq!(guest.value("head:"), secured.repo.id("main"));
}

#[test]
fn a_work_tree_in_tls_outlives_its_server() {
    let mut secured = Secured::start(&[]);
    let mounted = Mounted::attach(&secured.stranger());
    mounted.assert_clean();
    secured.server.kill();
    secured.server.start_again();
    fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
    let checkout = secured.repo.checkout("main");
    Tree::of_folder(&mounted.path()).assert_same_as(&Tree::of_folder(checkout.path()), "TLS");
    let server = mounted.status()["relay"]["upstreams"][0]["uri"].clone();
    assert!(server.as_str().unwrap().starts_with("nbds://"), "{server}");
    mounted.detach();
}

#[test]
fn who_is_not_believed_is_refused_and_told() {
    let secured = Secured::start(&[]);
    let stranger = secured.certificates.of("stranger");
    let (gone, others) = (stranger.join("gone"), Certificates::new());
    let plain = TestBlockd::serve_tcp(secured.repo.folder());
    let mounted = Mounted::nowhere();
    let port = secured.server.port();
    for (uri, message) in [
        (
            format!("nbd://localhost:{port}/history"),
            "it requires TLS: use nbds://",
        ),
        (secured.uri("127.0.0.1", &stranger), "not valid for name"),
        (secured.uri("localhost", &gone), "ca-cert.pem: "),
        (
            secured.uri("localhost", &others.of("stranger")),
            "invalid peer certificate",
        ),
        (format!("nbds://localhost:{port}/history"), "UnknownIssuer"),
        (
            format!("nbds://localhost:{}/history", plain.port()),
            "the server offers none",
        ),
    ] {
        let said = fails(&mut mounted.attach_command(&uri));
        assert!(said.contains(message), "{uri}: {said}");
    }
    fails(program("nbdinfo").arg(format!("nbd://localhost:{port}/history")));
}

#[test]
fn a_client_must_show_who_it_is_where_that_is_asked() {
    let secured = Secured::start(&["--tls-verify-peer"]);
    let known = secured.uri("localhost", &secured.certificates.of("client"));
    let mounted = Mounted::nowhere();
    let said = fails(&mut mounted.attach_command(&secured.stranger()));
    assert!(said.contains("CertificateRequired"), "{said}");
    fails(program("nbdinfo").arg(secured.stranger()));
    run(&mut mounted.attach_command(&known));
    mounted.assert_clean();
    mounted.detach();
    assert!(stdout(program("nbdinfo").arg(known)).contains("with TLS"));
}

/// The certificate of the server itself says of no use, as many do.
#[test]
fn a_certificate_that_is_not_for_clients_opens_nothing() {
    for (more, is_served) in [(&[][..], false), (&["--tls-any-usage"], true)] {
        let secured = Secured::start(&[&["--tls-verify-peer"], more].concat());
        let (server, stranger) = ["server", "stranger"]
            .map(|who| secured.certificates.of(who))
            .into();
        for part in ["cert", "key"] {
            let (from, to) = (format!("server-{part}.pem"), format!("client-{part}.pem"));
            fs::copy(server.join(from), stranger.join(to)).unwrap();
        }
        let mut nbdinfo = program("nbdinfo");
        nbdinfo.arg(secured.stranger());
        if is_served {
            run(&mut nbdinfo);
        } else {
            fails(&mut nbdinfo);
            let said = fails(&mut Mounted::nowhere().attach_command(&secured.stranger()));
            assert!(said.contains("UnsupportedCertificate"), "{said}");
        }
    }
}

#[test]
fn serve_says_which_certificate_is_missing() {
    let certificates = Certificates::new();
    let missing = |who: &str, more: &[&str]| {
        let mut serve = blockd();
        serve.args(["serve", "--listen", "127.0.0.1:0", "--repos"]);
        serve.arg(Fixture::get("history").folder());
        fails(serve.arg("--tls").arg(certificates.of(who)).args(more))
    };
    assert!(missing("client", &[]).contains("server-key.pem"));
    fs::write(certificates.of("server").join("ca-cert.pem"), "").unwrap();
    let said = missing("server", &["--tls-verify-peer"]);
    assert!(
        said.contains("ca-cert.pem") && said.contains("no certificate"),
        "{said}"
    );
    let said = fails(blockd().args(["serve", "--tls-verify-peer"]));
    assert!(said.contains("--tls <FOLDER>"), "{said}");
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// A server that is not ours.
struct Nbdkit(Child);

impl Drop for Nbdkit {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn our_relay_reads_from_another_server_in_tls() {
    let certificates = Certificates::new();
    let folder = tempfile::tempdir().unwrap();
    let (pid_file, socket) = (folder.path().join("pid"), folder.path().join("socket"));
    let mut serve = program("nbdkit");
    serve.args(["--foreground", "--tls=require", "--tls-verify-peer"]);
    let port = free_port().to_string();
    serve.args(["--exit-with-parent", "--port", &port, "--pidfile"]);
    serve.arg(&pid_file);
    let mut option = OsString::from("--tls-certificates=");
    option.push(certificates.of("server"));
    serve.arg(option).args(["pattern", "1M"]);
    let _server = Nbdkit(serve.stderr(Stdio::null()).spawn().unwrap());
    while !pid_file.exists() {
        thread::sleep(Duration::from_millis(10));
    }
    let uri = format!(
        "nbds://localhost:{port}/?tls-certificates={}",
        certificates.of("client").display()
    );
    let mut relay = blockd();
    let mut relay = relay
        .arg("relay")
        .arg(uri)
        .arg("--unix")
        .arg(&socket)
        .spawn()
        .unwrap();
    while !socket.exists() {
        assert!(relay.try_wait().unwrap().is_none(), "the relay has ended");
        thread::sleep(Duration::from_millis(10));
    }
    let copy = folder.path().join("copy");
    let relayed = format!("nbd+unix:///?socket={}", socket.display());
    run(program("nbdcopy").arg(relayed).arg(&copy));
    drop(relay.kill());
    drop(relay.wait());
    // The pattern plugin: every 8 bytes say where they are, big-endian.
    let copied = fs::read(copy).unwrap();
    assert_eq!(copied.len(), 1 << 20);
    for (place, bytes) in (0_u64..).step_by(8).zip(copied.chunks(8)) {
        assert_eq!(bytes, place.to_be_bytes());
    }
}
