//! Relays of other releases: a relay lives on when the program is replaced.

use std::{fs, io::Write, os::unix::net::UnixListener, thread};

use serde_json::{Value, json};

use crate::harness::{Bench, run};

/// The status document of the last release that wrote no format number.
const WITHOUT_FORMAT: &str = include_str!("../../src/relay/protocol/status_without_format.json");

/// From here on the relay's status socket answers with this document.
fn answer_with(bench: &Bench, document: &Value) {
    let lower = bench
        .state()
        .join("lowers")
        .join(&bench.entries("lowers")[0]);
    let socket = lower.join("status.sock");
    fs::remove_file(&socket).unwrap();
    let listener = UnixListener::bind(socket).unwrap();
    let document = document.to_string();
    // It ends with the process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            stream.unwrap().write_all(document.as_bytes()).unwrap();
        }
    });
}

fn status(bench: &Bench, more: &[&str]) -> String {
    run(bench.blockd(&["status"]).args(more))
}

fn relay_status(bench: &Bench) -> Value {
    let status: Value = serde_json::from_str(&status(bench, &["--json"])).unwrap();
    status["attachments"][0]["relay"].clone()
}

#[test]
fn a_relay_of_the_release_before_is_shown_and_detached() {
    let bench = Bench::new();
    bench.attach("repo", &["--read-only"]);
    let document: Value = serde_json::from_str(WITHOUT_FORMAT).unwrap();
    answer_with(&bench, &document);
    let relay = relay_status(&bench);
    assert_eq!(relay["state"], "alive", "{relay}");
    for (name, value) in document.as_object().unwrap() {
        assert_eq!(&relay[name], value, "{name}");
    }
    let text = status(&bench, &[]);
    assert!(text.contains("reads    64 of 8960 KiB"), "{text}");
    assert!(text.contains("/run/b.sock down (cannot connect"), "{text}");
    assert_eq!(bench.detach(&[])["export"], "repo");
    bench.nothing_is_left();
}

#[test]
fn a_relay_of_an_unknown_release_is_named_and_detached() {
    let bench = Bench::new();
    bench.attach("repo", &["--read-only"]);
    answer_with(&bench, &json!({"format": 99, "reads": "many"}));
    let relay = relay_status(&bench);
    assert_eq!(relay["state"], "unreadable", "{relay}");
    let text = status(&bench, &[]);
    assert!(
        text.contains("in format 99, and this blockd reads 1"),
        "{text}"
    );
    assert_eq!(bench.detach(&[])["export"], "repo");
    bench.nothing_is_left();
}
