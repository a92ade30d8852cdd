//! The log of a server: as JSON, bounded, and without what a terminal obeys.

use serde_json::Value;

use super::{
    client::{get, until},
    exports::{HOSTILE, repository},
};
use crate::harness::{Fixture, Peer, TestBlockd, peer::request};

const HTTP: [&str; 2] = ["--http", "127.0.0.1:0"];
const JSON: [&str; 2] = ["--log-format", "json"];

fn history(more: &[&str]) -> TestBlockd {
    let arguments = [&HTTP, more].concat();
    TestBlockd::serve_with(Fixture::get("history").folder(), &arguments)
}

/// All lines, each of which is an object.
#[track_caller]
fn lines(server: &TestBlockd) -> Vec<Value> {
    let log = server.log();
    // The last one may be half written.
    let whole = log.rfind('\n').map_or("", |end| &log[..end]);
    let parsed = whole.lines().map(|line| {
        let value: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in the line {line}"));
        assert!(value.is_object(), "{line}");
        value
    });
    parsed.collect()
}

fn with_message(server: &TestBlockd, message: &str) -> Vec<Value> {
    let mut lines = lines(server);
    lines.retain(|line| line["message"] == message);
    lines
}

/// A client whose first bytes are none of the protocol, until it is closed.
fn violate(server: &TestBlockd) {
    let mut peer = Peer::connect(server);
    peer.send(&[0xff; 4]);
    peer.assert_ends("unknown client flags");
}

#[test]
fn lines_of_json_say_which_connection_they_are_about() {
    let server = history(&JSON);
    let mut peers =
        ["history@main", "history@main~1"].map(|name| Peer::transmitting(&server, name.as_bytes()));
    // `opened` is said by a thread of another pool.
    let opened = with_message(&server, "opened");
    let begun = until(
        || with_message(&server, "transmission begins"),
        |lines| lines.len() == 2,
    );
    violate(&server);
    let ended = until(
        || with_message(&server, "connection ended"),
        |lines| lines.len() == 1,
    );
    assert!(ended[0]["error"].as_str().unwrap().contains("client flags"));
    assert_eq!(
        (ended[0]["level"].as_str(), opened.len()),
        (Some("WARN"), 2)
    );
    let id = |line: &Value| line["span"]["id"].as_u64().expect("a number");
    let [first, second] = [&opened[0], &opened[1]].map(id);
    assert_eq!(begun.iter().map(id).collect::<Vec<_>>(), [first, second]);
    assert!(first != second && id(&ended[0]) != second);
    for line in opened.iter().chain(&begun).chain(&ended) {
        assert!(line["timestamp"].is_string(), "{line}");
        assert!(line["span"]["peer"].is_string(), "{line}");
        assert!(line["span"]["user"].is_u64(), "{line}");
    }
    let export = begun[0]["span"]["export"].as_str().unwrap();
    assert!(export.starts_with("history@"), "{export}");
    for peer in &mut peers {
        peer.send(&request(0, 0, 0, 512));
        assert_eq!(peer.simple_error(), 0);
    }
}

#[test]
fn one_peer_causes_so_many_lines_and_the_next_one_says_how_many_more() {
    let server = history(&JSON);
    for _ in 0..100 {
        violate(&server);
    }
    let left_out = || -> usize {
        let metrics = get(&server, "/metrics").body;
        let name = "blockd_log_lines_suppressed_total ";
        let value = metrics.lines().find_map(|line| line.strip_prefix(name));
        value.expect("the metric").parse().unwrap()
    };
    let ended = || with_message(&server, "connection ended");
    until(|| ended().len() + left_out(), |sum| *sum == 100);
    assert!(left_out() > 0, "nothing was left out");
    let said = || -> u64 {
        let said = ended()
            .into_iter()
            .filter_map(|line| line["suppressed"].as_u64());
        said.sum()
    };
    // Until it is somebody's turn again.
    until(
        || {
            violate(&server);
            said()
        },
        |said| *said > 0,
    );
}

#[test]
fn what_a_repository_is_called_is_not_obeyed() {
    let place = tempfile::tempdir().unwrap();
    let repos = place.path().join("repos");
    repository(&repos.join(HOSTILE));
    for form in ["json", "text"] {
        let server = TestBlockd::serve_with(&repos, &["--log-format", form]);
        let _peer = Peer::transmitting(&server, HOSTILE.as_bytes());
        let log = until(|| server.log(), |log| log.contains("transmission begins"));
        let obeyed = |each: char| each.is_control() && each != '\n' || each == '\u{202e}';
        assert!(!log.contains(obeyed), "{form}: {log:?}");
        if form == "json" {
            let begun = with_message(&server, "transmission begins");
            let export = begun[0]["span"]["export"].as_str().unwrap();
            assert!(export.starts_with(HOSTILE), "{export}");
        }
    }
}
