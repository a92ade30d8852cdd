//! `/exports` and `/`.

use std::{fs, path::Path};

use serde_json::Value;

use super::{client::until, get};
use crate::harness::{Peer, TestBlockd, git, peer::request, run};

/// A name that is markup, and that a terminal would obey.
pub(super) const HOSTILE: &str = "<img src=x onerror=alert(1)>\u{1b}[2J\u{9b}\u{202e}&'\"";

pub(super) fn repository(path: &Path) {
    fs::create_dir_all(path).unwrap();
    run(git(path).args(["init", "-q", "-b", "main"]));
    fs::write(path.join("file"), "content\n").unwrap();
    run(git(path).args(["add", "."]));
    run(git(path).args(["commit", "-q", "-m", "one"]));
}

fn exports(server: &TestBlockd) -> Value {
    serde_json::from_str(&get(server, "/exports").body).unwrap()
}

#[test]
fn what_is_open_is_listed_with_what_was_read() {
    let place = tempfile::tempdir().unwrap();
    repository(&place.path().join("repos/a"));
    repository(&place.path().join("repos").join(HOSTILE));
    let server =
        TestBlockd::serve_watched(&place.path().join("repos"), &place.path().join("state"));
    assert_eq!(exports(&server)["exports"], Value::Array(Vec::new()));
    let mut peers = ["a@main", "a@main"].map(|name| Peer::transmitting(&server, name.as_bytes()));
    for peer in &mut peers {
        peer.send(&request(0, 0, 0, 8192));
        assert_eq!(peer.simple_error(), 0);
        peer.read(8192);
    }
    let listed = exports(&server);
    let [export] = listed["exports"].as_array().unwrap().as_slice() else {
        panic!("one export is open: {listed}");
    };
    let name = export["name"].as_str().unwrap();
    assert!(
        name.starts_with("a@") && name.contains(":layout="),
        "{name}"
    );
    let figures = ["connections", "reads", "read_bytes"].map(|of| export[of].as_u64().unwrap());
    assert_eq!(figures, [2, 2, 16384]);
    assert!(export["since"].as_u64().unwrap() > 1_700_000_000);
    drop(peers);
    until(
        || exports(&server)["exports"].clone(),
        |open| open == &Value::Array(Vec::new()),
    );

    let mut peer = Peer::transmitting(&server, HOSTILE.as_bytes());
    // Answered, it is open for certain.
    peer.send(&request(0, 0, 0, 512));
    assert_eq!(peer.simple_error(), 0);
    let text = get(&server, "/exports").body;
    let listed: Value = serde_json::from_str(&text).unwrap();
    assert!(
        listed["exports"][0]["name"]
            .as_str()
            .unwrap()
            .starts_with(HOSTILE)
    );
    let page = get(&server, "/");
    assert!(
        page.body
            .contains("&lt;img src=x onerror=alert(1)&gt;\\u{1b}[2J\\u{9b}\\u{202e}")
    );
    for (text, what) in [(&text, "/exports"), (&page.body, "/")] {
        let obeyed = |each: char| each.is_control() && each != '\n' || each == '\u{202e}';
        assert!(!text.contains(obeyed), "{what}: {text:?}");
        let path = place.path().to_str().unwrap();
        assert!(!text.contains(path), "{what} shows a path: {text}");
    }
    assert!(!page.body.contains("<img"), "{}", page.body);
}

#[test]
fn the_page_is_one_document_that_loads_nothing() {
    let place = tempfile::tempdir().unwrap();
    repository(&place.path().join("repos/a"));
    let server =
        TestBlockd::serve_watched(&place.path().join("repos"), &place.path().join("state"));
    let page = get(&server, "/");
    let policy = page
        .head
        .lines()
        .find_map(|line| line.strip_prefix("content-security-policy: "));
    let policy = policy.expect("a policy");
    assert!(
        policy.starts_with("default-src 'none'; style-src 'nonce-"),
        "{policy}"
    );
    let (_, nonce) = policy.split_once("script-src 'nonce-").unwrap();
    let (nonce, _) = nonce.split_once('\'').unwrap();
    assert_eq!(page.body.matches(&format!("nonce=\"{nonce}\"")).count(), 2);
    assert!(
        !get(&server, "/").body.contains(nonce),
        "a nonce is used once"
    );
    for (loads, what) in [
        ("src=", "a source"),
        ("http", "an address"),
        ("style=", "a style"),
    ] {
        assert!(!page.body.contains(loads), "{what}: {}", page.body);
    }
    assert!(
        page.body.contains("No client has one open."),
        "{}",
        page.body
    );
}
