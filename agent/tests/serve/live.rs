//! `/live`: ranges, followers, and readers that stall.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
};

use futures_util::StreamExt;
use reqwest::{Client, StatusCode};

use super::harness::{LINE, Server, TOKEN, resident};

#[tokio::test(flavor = "multi_thread")]
async fn ranges_of_the_output() {
    let server = Server::started();
    let all = server.logged();
    let end = all.len();
    let last = end - 1;
    let whole = (StatusCode::OK, None, 0, end);
    let part = |from: usize, to: usize| {
        let content = format!("bytes {from}-{}/{end}", to - 1);
        (StatusCode::PARTIAL_CONTENT, Some(content), from, to)
    };
    let content = format!("bytes */{end}");
    let none = (StatusCode::RANGE_NOT_SATISFIABLE, Some(content), 0, 0);
    for (range, (code, content, from, to)) in [
        ("bytes=2-5".to_owned(), part(2, 6)),
        ("bytes=0-0".to_owned(), part(0, 1)),
        ("bytes=3-".to_owned(), part(3, end)),
        (format!("bytes={last}-"), part(last, end)),
        ("bytes=-4".to_owned(), part(end - 4, end)),
        ("bytes=-99999".to_owned(), part(0, end)),
        ("bytes=5-99999".to_owned(), part(5, end)),
        (format!("bytes={end}-"), none.clone()),
        ("bytes=99999-".to_owned(), none.clone()),
        ("bytes=-0".to_owned(), none),
        ("bytes=5-2".to_owned(), whole.clone()),
        ("bytes=0-1, 5-6".to_owned(), whole.clone()),
        ("lines=0-1".to_owned(), whole),
    ] {
        let answer = server.get("/live", &[("range", &range)]).await;
        assert_eq!(answer.status(), code, "{range}");
        let given = answer.headers().get("content-range");
        let given = given.map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(given, content, "{range}");
        let length = answer.headers()["content-length"].to_str().unwrap();
        assert_eq!(length, (to - from).to_string(), "{range}");
        assert_eq!(answer.bytes().await.unwrap(), &all[from..to], "{range}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_on_the_output() {
    let server = Server::started();
    let head = Client::new().head(format!("{}/live", server.url));
    let head = head.bearer_auth(TOKEN).send().await.unwrap();
    let end = server.logged().len();
    assert_eq!(head.headers()["content-length"], end.to_string());
    for (name, value) in [
        ("accept-ranges", "bytes"),
        ("cache-control", "no-store"),
        ("content-type", "application/octet-stream"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(head.headers()[name], value, "{name}");
    }
    let tag = head.headers()["etag"].to_str().unwrap().to_owned();
    let weak = format!("W/{tag}");
    for (name, value, code) in [
        ("if-range", tag.as_str(), StatusCode::PARTIAL_CONTENT),
        ("if-range", &weak, StatusCode::OK),
        ("if-range", "\"other\"", StatusCode::OK),
        ("if-range", "Sat, 01 Jan 2000 00:00:00 GMT", StatusCode::OK),
        ("if-none-match", &tag, StatusCode::NOT_MODIFIED),
        ("if-none-match", &weak, StatusCode::NOT_MODIFIED),
        ("if-none-match", "\"a\", \"b\"", StatusCode::PARTIAL_CONTENT),
        ("if-match", &tag, StatusCode::PARTIAL_CONTENT),
        ("if-match", "*", StatusCode::PARTIAL_CONTENT),
        ("if-match", "\"other\"", StatusCode::PRECONDITION_FAILED),
    ] {
        let headers = [("range", "bytes=0-1"), (name, value)];
        let answer = server.get("/live", &headers).await;
        assert_eq!(answer.status(), code, "{name}: {value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_and_earlier_runs() {
    let server = Server::started();
    let all = server.logged();
    let end = all.len();
    let rest = server.get(&format!("/live?offset={}", end - 3), &[]).await;
    assert_eq!(rest.bytes().await.unwrap(), &all[end - 3..]);
    let beyond = server.get("/live?offset=99999", &[]).await;
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    let run = server.status().await["run"].as_str().unwrap().to_owned();
    assert!(server.text("/live/runs").await.contains(&run));
    let earlier = server.get(&format!("/live/runs/{run}"), &[]).await;
    assert_eq!(earlier.bytes().await.unwrap(), all);
    let none = server.get("/live/runs/..%2f..%2fetc", &[]).await;
    assert_eq!(none.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_from_before_the_start_gets_the_whole_run() {
    let mut server = Server::fake(&[]);
    let following = server.get("/live?follow=1", &[]).await;
    assert_eq!(following.status(), StatusCode::OK);
    server.run(&["start", &server.url]);
    assert_eq!(server.terminate(), 0);
    assert_eq!(following.bytes().await.unwrap(), server.logged());
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_followers_and_one_that_stalls_while_much_flows() {
    const LINES: usize = 1600;
    const FOLLOWERS: usize = 50;
    let server = Arc::new(Server::started());
    // It requests everything, and reads only the beginning.
    let mut stalled = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    let ask = "GET /live?follow=1 HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer";
    write!(stalled, "{ask} {TOKEN}\r\n\r\n").unwrap();
    stalled.read_exact(&mut [0; 100]).unwrap();
    let begun = server.logged().len();
    let followers = (0..FOLLOWERS).map(|index| {
        let server = Arc::clone(&server);
        let offset = index * begun / FOLLOWERS;
        tokio::spawn(async move { follow(&server, offset, begun + LINES * LINE).await })
    });
    let followers: Vec<_> = followers.collect();
    let before = resident(server.pid());
    server.run(&["message", &server.url, &format!("flood {LINES}")]);
    for follower in followers {
        follower.await.unwrap();
    }
    let grown = resident(server.pid()).saturating_sub(before);
    assert!(grown < 48 << 20, "{grown} bytes more memory");
    drop(stalled);
}

/// Follows from one offset to another, and compares with the files of the log.
async fn follow(server: &Server, mut offset: usize, end: usize) {
    let path = format!("/live?follow=1&offset={offset}");
    let mut pieces = server.get(&path, &[]).await.bytes_stream();
    while offset < end {
        let piece = pieces.next().await.unwrap().unwrap();
        assert!(
            piece == server.logged_at(offset, piece.len()),
            "at {offset}"
        );
        offset += piece.len();
    }
}
