//! What is read anew while the server runs.

use std::{fs, process::Stdio};

use super::{Guarded, hang_up, info};
use crate::harness::{Certificates, fails, program, run};

#[test]
fn keys_are_changed_while_clients_read() {
    let guarded = Guarded::new();
    let server = guarded.serve(&[]);
    let [first, second] = ["one", "two"].map(|key| guarded.token(key, "team/app", &[]));
    let copy = guarded.folder.path().join("copy");
    let mut reading = program("nbdcopy");
    reading
        .arg(server.uri(&format!("team/app:token={first}")))
        .arg(&copy);
    let mut reading = reading.stdout(Stdio::null()).spawn().unwrap();
    let hang_up = |expected| hang_up(&server, expected);
    guarded.write_access(&["one", "two"], "");
    hang_up("anew");
    run(&mut info(&server, &format!("team/app:token={second}")));
    guarded.write_access(&["two"], "");
    hang_up("anew");
    fails(&mut info(&server, &format!("team/app:token={first}")));
    run(&mut info(&server, &format!("team/app:token={second}")));
    guarded.write_access(&[], "nonsense = 1\n");
    hang_up("stays in force");
    run(&mut info(&server, &format!("team/app:token={second}")));
    assert!(reading.wait().unwrap().success());
}

/// With the certificate of a client, until that is revoked; and certificates of the
/// server that are exchanged while it runs.
#[test]
fn a_certificate_opens_what_a_rule_says() {
    let guarded = Guarded::new();
    let certificates = Certificates::new();
    let rule = "[[rule]]\ncertificates = [\"client.example\"]\nrepositories = [\"team/app\"]\n";
    guarded.write_access(&[], rule);
    let folder = certificates.of("server");
    let tls = ["--tls-verify-peer", "--tls", folder.to_str().unwrap()];
    let server = guarded.serve(&[&tls[..], &["--listen", "127.0.0.1:0"]].concat());
    let ask = |who: &str, export: &str| {
        let mut nbdinfo = program("nbdinfo");
        nbdinfo.arg(format!(
            "nbds://localhost:{}/{export}?tls-certificates={}",
            server.port(),
            certificates.of(who).display()
        ));
        nbdinfo
    };
    run(&mut ask("client", "team/app"));
    fails(&mut ask("client", "team/other"));
    let reload = || hang_up(&server, "anew");
    certificates.revoke("client");
    reload();
    let said = fails(&mut ask("client", "team/app"));
    assert!(said.contains("TLS") || said.contains("tls"), "{said}");
    fs::remove_file(folder.join("client-crl.pem")).unwrap();
    reload();
    run(&mut ask("client", "team/app"));
}
