//! `/metrics`.

use std::{
    collections::BTreeMap,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use super::{
    Response,
    client::{get, get_with, until},
};
use crate::harness::{DISTRO_PYTHON, Fixture, Peer, TestBlockd, peer::request, program};

type Values = BTreeMap<String, f64>;

const READ: u16 = 0;
const BLOCK_STATUS: u16 = 7;
const NONSENSE: u16 = 77;
const EINVAL: u32 = 22;
const BLOCK: u32 = 4096;

fn watched() -> TestBlockd {
    TestBlockd::serve_with(Fixture::get("history").folder(), &["--http", "127.0.0.1:0"])
}

/// All values, by name and labels, as the library of Prometheus reads them.
#[track_caller]
fn parsed(text: &str, format: &str) -> Values {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/metrics.py");
    let mut python: Command = program(DISTRO_PYTHON);
    let python = python.arg(script).arg(format).stdin(Stdio::piped());
    let mut python = python.stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = python.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "{format}:\n{text}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn metrics(server: &TestBlockd) -> Values {
    let Response { status, body, .. } = get(server, "/metrics");
    assert_eq!(status, 200);
    parsed(&body, "text")
}

/// How much what has changed has grown, but what the server does by itself, such as
/// looking for snapshots that have expired.
fn growth(before: &Values, after: &Values) -> Values {
    let grown = after.iter().map(|(name, value)| {
        let grown = value - before.get(name).copied().unwrap_or(0.0);
        (name.clone(), grown)
    });
    let of_interest = |name: &str| {
        let is_time = name.contains("_sum") || name.contains("_bucket");
        let is_own = [
            "cache",
            "plans",
            "open_files",
            "inflated",
            "snapshots",
            "http",
            "work",
        ];
        !is_time && !is_own.iter().any(|part| name.contains(part))
    };
    grown
        .filter(|(name, grown)| *grown != 0.0 && of_interest(name))
        .collect()
}

#[test]
fn both_formats_are_those_of_prometheus() {
    let server = watched();
    let text = get(&server, "/metrics");
    assert!(
        text.head.contains("text/plain; version=0.0.4"),
        "{}",
        text.head
    );
    let asked = "Host: localhost\r\nAccept: application/openmetrics-text;version=1.0.0\r\n";
    let open = get_with(&server, "/metrics", asked);
    assert!(
        open.head.contains("application/openmetrics-text"),
        "{}",
        open.head
    );
    let (text, open) = (
        parsed(&text.body, "text"),
        parsed(&open.body, "openmetrics"),
    );
    assert!(text.len() > 200, "{text:?}");
    assert_eq!(
        text.keys().collect::<Vec<_>>(),
        open.keys().collect::<Vec<_>>()
    );
    for name in [
        "blockd_connections_limit",
        "blockd_handshakes_limit",
        "blockd_peers",
        "blockd_plans_limit_bytes",
        "blockd_cache_limit_bytes",
        "blockd_in_flight_limit_bytes",
        "blockd_work_limit{work=read}",
        "blockd_work_waiting{work=open}",
        "blockd_connections_refused_total{limit=peer_handshakes}",
        "blockd_damaged_maps_total",
        "blockd_panics_total",
        "blockd_snapshots",
        "blockd_open_files",
        "blockd_open_files_limit",
        "blockd_http_connections_limit",
    ] {
        assert!(text.contains_key(name), "there is no {name}: {text:?}");
    }
}

#[test]
fn counters_move_by_what_a_client_did() {
    let server = watched();
    let before = metrics(&server);
    let mut peer = Peer::transmitting(&server, b"history@main");
    for block in 0..7 {
        peer.send(&request(0, READ, block * u64::from(BLOCK), BLOCK));
        assert_eq!(peer.simple_error(), 0);
        peer.read(usize::try_from(BLOCK).unwrap());
    }
    for command in [BLOCK_STATUS, NONSENSE] {
        peer.send(&request(0, command, 0, BLOCK));
        assert_eq!(peer.simple_error(), EINVAL);
    }
    let expected = [
        (
            "blockd_command_duration_seconds_count{command=block_status}",
            1,
        ),
        ("blockd_command_duration_seconds_count{command=read}", 7),
        ("blockd_command_duration_seconds_count{command=unknown}", 1),
        ("blockd_command_errors_total{error=EINVAL}", 2),
        ("blockd_connections", 1),
        ("blockd_connections_accepted_total", 1),
        ("blockd_exports", 1),
        ("blockd_open_duration_seconds_count{result=opened}", 1),
        ("blockd_peers", 1),
        ("blockd_read_bytes_total", 7 * 4096),
        ("blockd_sent_bytes_total", 7 * (16 + 4096) + 2 * 16),
    ];
    let expected: Values = expected
        .map(|(name, grown)| (name.to_owned(), f64::from(grown)))
        .into();
    assert_eq!(growth(&before, &metrics(&server)), expected);
    drop(peer);
    let closed = until(
        || metrics(&server),
        |now| now.get("blockd_connections") == Some(&0.0),
    );
    assert_eq!(closed.get("blockd_exports"), Some(&0.0));
    let reason = "blockd_connections_ended_total{reason=closed}";
    assert_eq!(closed.get(reason), Some(&1.0));
}

#[test]
fn an_export_that_is_not_there_is_counted_as_such() {
    let server = watched();
    let before = metrics(&server);
    Peer::refusal(&server, "history@no-such-branch");
    let grown = growth(&before, &metrics(&server));
    let unknown = "blockd_open_duration_seconds_count{result=unknown}";
    assert_eq!(grown.get(unknown), Some(&1.0), "{grown:?}");
    assert_eq!(grown.get("blockd_exports"), None);
}
