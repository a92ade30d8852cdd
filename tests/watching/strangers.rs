//! What strangers do with `--http`.

use std::{io::Write, net::TcpStream};

use super::{client::get_with, get};
use crate::harness::{Fixture, TestBlockd};

fn watched(more: &[&str]) -> TestBlockd {
    let http = [&["--http", "127.0.0.1:0"], more].concat();
    TestBlockd::serve_with(Fixture::get("history").folder(), &http)
}

#[test]
fn half_sent_heads_keep_nobody_out() {
    let server = watched(&["--http-connections", "8"]);
    let mut silent = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(server.watched()).unwrap();
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: lo")
            .unwrap();
        silent.push(stream);
    }
    for _ in 0..20 {
        assert_eq!(get(&server, "/healthz").status, 200);
    }
    let metrics = get(&server, "/metrics").body;
    assert!(
        metrics.contains("blockd_http_connections_limit 8\n"),
        "{metrics}"
    );
}

#[test]
fn a_page_of_another_name_sees_nothing() {
    let server = watched(&[]);
    for path in ["/", "/exports", "/metrics"] {
        let answer = get_with(&server, path, "Host: evil.example\r\n");
        assert_eq!(answer.status, 403, "{path}");
        assert!(!answer.body.contains("blockd_"), "{}", answer.body);
    }
}

#[test]
fn what_is_not_there_is_said() {
    let server = watched(&[]);
    let missing = get(&server, "/../../etc/passwd");
    assert_eq!(missing.status, 404);
    assert!(missing.body.contains("/metrics"), "{}", missing.body);
    for head in ["default-src 'none'", "nosniff", "no-store"] {
        assert!(missing.head.contains(head), "{}", missing.head);
    }
}
