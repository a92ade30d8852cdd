//! A client of HTTP that sends one request, in plain TCP.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use crate::harness::TestBlockd;

/// Longer than a slow machine needs; a wait that reaches it has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

#[track_caller]
pub(super) fn get(server: &TestBlockd, path: &str) -> Response {
    get_with(server, path, "Host: localhost\r\n")
}

/// With these lines in the head.
#[track_caller]
pub(super) fn get_with(server: &TestBlockd, path: &str, head: &str) -> Response {
    let mut stream = TcpStream::connect(server.watched()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n{head}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("a whole head");
    let status = head.split(' ').nth(1).expect("a status").parse().unwrap();
    Response {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// Asks until what comes `is_wanted`.
#[track_caller]
pub(super) fn until<T: std::fmt::Debug>(ask: impl Fn() -> T, is_wanted: impl Fn(&T) -> bool) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let got = ask();
        if is_wanted(&got) {
            return got;
        }
        assert!(Instant::now() < deadline, "still {got:?}");
        thread::sleep(Duration::from_millis(10));
    }
}
