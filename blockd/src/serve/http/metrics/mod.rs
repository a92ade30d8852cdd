//! `/metrics`, for Prometheus: every budget, its use, and what was done. No label has
//! a value that a client or a repository chooses.

mod format;
mod sheet;

use std::{fmt, time::SystemTime};

use prometheus_client::{
    collector::Collector, encoding::DescriptorEncoder, encoding::text::encode, registry::Registry,
};

pub(super) use self::format::Format;
use self::sheet::Sheet;
use super::watched::Reading;
use crate::serve::catalog::Load;

/// The figures in a format of Prometheus.
pub(super) fn text(reading: &Reading, format: Format) -> String {
    let mut registry = Registry::with_prefix("blockd");
    let mut text = String::new();
    registry.register_collector(Box::new(Figures(reading.clone())));
    encode(&mut text, &registry).expect("a String accepts every write");
    format.of(text)
}

#[derive(Debug)]
struct Figures(Reading);

impl Collector for Figures {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut sheet = Sheet::new(encoder);
        process(&mut sheet, &self.0)?;
        clients(&mut sheet, &self.0)?;
        commands(&mut sheet, &self.0)?;
        plans(&mut sheet, &self.0)?;
        catalog(&mut sheet, &self.0)?;
        http(&mut sheet, &self.0)
    }
}

fn process(sheet: &mut Sheet<'_>, reading: &Reading) -> fmt::Result {
    sheet.labelled(
        ("build_info", "The version of the server, which is 1"),
        ("version", &[(env!("CARGO_PKG_VERSION"), 1)]),
    )?;
    // A clock that shows 1970 or less is not set.
    let started = reading.started.duration_since(SystemTime::UNIX_EPOCH);
    let started = started.map_or(0.0, |since| since.as_secs_f64());
    sheet.seconds("start_time", "When the server started, since 1970", started)?;
    if let Some(files) = reading.open_files {
        sheet.gauge("open_files", "Files and sockets that are open", files)?;
    }
    if let Some(limit) = reading.open_files_limit {
        let help = "How many files and sockets may be open";
        sheet.gauge("open_files_limit", help, limit)?;
    }
    sheet.counter(
        "damaged_maps",
        "Mapped files of which a page could not be read",
        reading.catalog.damaged_maps,
    )?;
    let help = "Lines that were left out of the log, since there were too many like them";
    sheet.counter("log_lines_suppressed", help, reading.log_suppressed)?;
    let help = "Panics, each of which has ended a connection";
    sheet.counter("panics", help, reading.server.panics)
}

fn clients(sheet: &mut Sheet<'_>, reading: &Reading) -> fmt::Result {
    let server = &reading.server;
    for (name, help, limit, limit_help, (peer, peer_help, of_peer), budget) in [
        (
            "connections",
            "NBD connections that are open",
            "connections_limit",
            "How many NBD connections may be open (--connections)",
            (
                "connections_peer_limit",
                "How many one peer may have (--peer-connections)",
                server.peer_limits.connections,
            ),
            server.connections,
        ),
        (
            "handshakes",
            "NBD connections that are in the handshake",
            "handshakes_limit",
            "How many NBD connections may be in the handshake (--handshakes)",
            (
                "handshakes_peer_limit",
                "How many of them may be of one peer (--peer-handshakes)",
                server.peer_limits.handshakes,
            ),
            server.handshakes,
        ),
    ] {
        sheet.gauge(name, help, budget.used)?;
        sheet.gauge(limit, limit_help, budget.limit)?;
        sheet.gauge(peer, peer_help, of_peer)?;
    }
    sheet.gauge("peers", "Peers that have connections", server.peers)?;
    sheet.gauge("exports", "Exports that clients have open", reading.exports)?;
    sheet.counter(
        "connections_accepted",
        "Clients that were let in",
        server.accepted,
    )?;
    sheet.counters(
        (
            "connections_refused",
            "Clients that were closed at once, by the limit that was reached",
        ),
        ("limit", &server.refused),
    )?;
    sheet.counters(
        (
            "connections_ended",
            "Connections that have ended, by the reason",
        ),
        ("reason", &server.ended),
    )?;
    sheet.histograms(
        (
            "open_duration",
            "How long it took to open exports, by what came of it",
        ),
        ("result", &server.opens),
    )
}

fn commands(sheet: &mut Sheet<'_>, reading: &Reading) -> fmt::Result {
    let server = &reading.server;
    sheet.histograms(
        (
            "command_duration",
            "How long NBD commands took, from when they were received until their reply was \
             ready to be sent",
        ),
        ("command", &server.commands),
    )?;
    sheet.counters(
        ("command_errors", "Replies with an NBD error"),
        ("error", &server.errors),
    )?;
    let help = "Bytes that clients have read";
    sheet.bytes_counted("read", help, server.read_bytes)?;
    let help = "Bytes of replies that were sent; zeroes may be sent as holes";
    sheet.bytes_counted("sent", help, server.sent_bytes)?;
    let help = "Bytes of requests in flight";
    sheet.bytes("in_flight", help, server.in_flight.used)?;
    let help = "How many bytes of requests may be in flight (--requests)";
    sheet.bytes("in_flight_limit", help, server.in_flight.limit)?;
    let help = "How many of them may be of one peer (--peer-requests)";
    sheet.bytes("in_flight_peer_limit", help, server.peer_limits.in_flight)
}

fn plans(sheet: &mut Sheet<'_>, reading: &Reading) -> fmt::Result {
    let catalog = &reading.catalog;
    let plans = catalog.plans;
    let help = "Memory for the plans of images: in use, kept, and being made";
    sheet.bytes("plans", help, plans.in_use)?;
    let help = "How much memory plans may take (--plans)";
    sheet.bytes("plans_limit", help, plans.limit)?;
    let help = "How much of it plans may take that one peer has open (--peer-plans)";
    sheet.bytes("plans_peer_limit", help, plans.peer_limit)?;
    let converted = catalog.converted;
    let help = "Bytes of files that images in use and kept convert";
    sheet.bytes("converted", help, converted.in_use)?;
    let help = "How many bytes of files images may convert (--all-converted)";
    sheet.bytes("converted_limit", help, converted.limit)?;
    let help = "How many of them for one peer (--peer-converted)";
    sheet.bytes("converted_peer_limit", help, converted.peer_limit)?;
    let help = "How many bytes of files one image may convert (--converted)";
    sheet.bytes("image_converted_limit", help, catalog.image_converted_limit)?;
    sheet.counters(
        (
            "opens_refused",
            "Exports that were not opened, by the limit that was reached: the flag of serve",
        ),
        ("limit", &catalog.refused),
    )
}

fn catalog(sheet: &mut Sheet<'_>, reading: &Reading) -> fmt::Result {
    let catalog = &reading.catalog;
    let (used, limit) = catalog.cache;
    let help = "Memory for cached blobs and trees";
    sheet.bytes("cache", help, used)?;
    let help = "How much memory the cache may take (--cache)";
    sheet.bytes("cache_limit", help, limit)?;
    let (used, limit) = catalog.spool;
    let help = "Large blobs in the state directory";
    sheet.bytes("spool", help, used)?;
    let help = "How much large blobs may take in the state directory (--spool)";
    sheet.bytes("spool_limit", help, limit)?;
    let help = "Bytes of blobs that were inflated, since they were not cached";
    sheet.bytes_counted("inflated", help, catalog.inflated)?;
    if let Some(snapshots) = reading.snapshots {
        let help = "Snapshots in the state directory";
        sheet.gauge("snapshots", help, snapshots)?;
    }
    let each = |of: fn(&Load) -> usize| {
        [
            ("read", of(&catalog.reads)),
            ("prefetch", of(&catalog.prefetches)),
            ("open", of(&catalog.opening)),
            ("resolve", of(&catalog.resolving)),
        ]
    };
    sheet.labelled(
        (
            "work_running",
            "Reads, opens and lookups of revisions that are being done",
        ),
        ("work", &each(|load| load.running)),
    )?;
    sheet.labelled(
        ("work_waiting", "The same that wait for their turn"),
        ("work", &each(|load| load.waiting)),
    )?;
    sheet.labelled(
        ("work_limit", "How many may be done at once"),
        ("work", &each(|load| load.limit)),
    )
}

fn http(sheet: &mut Sheet<'_>, reading: &Reading) -> fmt::Result {
    let (used, limit) = reading.http_connections;
    let help = "HTTP connections that are open";
    sheet.gauge("http_connections", help, used)?;
    let help = "How many HTTP connections may be open (--http-connections)";
    sheet.gauge("http_connections_limit", help, limit)?;
    let help = "HTTP connections that were closed at once";
    sheet.counter("http_connections_refused", help, reading.http_refused)?;
    let help = "HTTP requests";
    sheet.counter("http_requests", help, reading.http_requests)
}
