//! The part of the page that changes.

use std::{
    fmt::{self, Write},
    time::{Duration, SystemTime},
};

use blockd_nbd::server::{OpenExport, Use};

use super::text::escaped;
use crate::{serve::http::watched::Reading, units::show_size};

/// The figures as HTML. `reasons` say why the server is not ready.
pub(in crate::serve::http) fn live(
    reading: &Reading,
    reasons: &[String],
    open: &[OpenExport],
) -> String {
    let mut html = String::from("<main id=\"live\">\n");
    let written = write_all(&mut html, reading, reasons, open);
    written.expect("a String accepts every write");
    html + "</main>"
}

fn write_all(
    html: &mut String,
    reading: &Reading,
    reasons: &[String],
    open: &[OpenExport],
) -> fmt::Result {
    let version = env!("CARGO_PKG_VERSION");
    let age = since(reading.started);
    write!(html, "<p>Version {version}, started {age} ago. ")?;
    if reasons.is_empty() {
        html.push_str("Ready.</p>\n");
    } else {
        let reasons = escaped(&reasons.join("; "));
        writeln!(
            html,
            "<span class=\"not-ready\">Not ready: {reasons}</span></p>"
        )?;
    }
    exports(html, reading, open)?;
    traffic(html, reading)?;
    budgets(html, reading)?;
    failures(html, reading)
}

fn exports(html: &mut String, reading: &Reading, open: &[OpenExport]) -> fmt::Result {
    writeln!(html, "<h2>Open exports: {}</h2>", reading.exports)?;
    if open.is_empty() {
        return writeln!(html, "<p>No client has one open.</p>");
    }
    html.push_str(
        "<div class=\"scroll\"><table>\n<tr><th>Name<th class=\"number\">Connections\
         <th class=\"number\">Reads<th class=\"number\">Read<th class=\"number\">For\n",
    );
    for export in open {
        writeln!(
            html,
            "<tr><td class=\"name\">{}<td class=\"number\">{}<td class=\"number\">{}\
             <td class=\"number\">{}<td class=\"number\">{}",
            escaped(&export.name),
            export.connections,
            export.reads,
            show_size(export.read_bytes),
            since(export.since)
        )?;
    }
    html.push_str("</table></div>\n");
    let more = reading.exports.saturating_sub(shown(open));
    if more > 0 {
        writeln!(html, "<p>And {more} more.</p>")?;
    }
    Ok(())
}

fn shown(open: &[OpenExport]) -> u64 {
    u64::try_from(open.len()).expect("a usize has at most 64 bits")
}

fn traffic(html: &mut String, reading: &Reading) -> fmt::Result {
    let server = &reading.server;
    let reads = server.commands.iter().find(|(name, _)| *name == "read");
    let reads = reads.map_or(0, |(_, times)| times.count());
    html.push_str("<h2>Traffic</h2>\n<table>\n");
    for (id, title, count, is_bytes) in [
        ("reads", "Reads", reads, false),
        ("read", "Read by clients", server.read_bytes, true),
        ("sent", "Sent", server.sent_bytes, true),
        ("inflated", "Inflated", reading.catalog.inflated, true),
    ] {
        let text = if is_bytes {
            show_size(count)
        } else {
            count.to_string()
        };
        let unit = if is_bytes { "bytes" } else { "" };
        writeln!(
            html,
            "<tr><th>{title}<td class=\"number\" id=\"{id}\" data-count=\"{count}\">{text}\
             <td class=\"number\" data-rate-of=\"{id}\" data-unit=\"{unit}\">"
        )?;
    }
    html.push_str("</table>\n");
    Ok(())
}

fn budgets(html: &mut String, reading: &Reading) -> fmt::Result {
    let (server, catalog) = (&reading.server, &reading.catalog);
    html.push_str("<h2>In use</h2>\n<table>\n");
    for (title, budget) in [
        ("Connections", server.connections),
        ("Handshakes", server.handshakes),
        (
            "Reads",
            of_sizes((catalog.reads.running, catalog.reads.limit)),
        ),
        (
            "Opens",
            of_sizes((catalog.opening.running, catalog.opening.limit)),
        ),
        (
            "Lookups of revisions",
            of_sizes((catalog.resolving.running, catalog.resolving.limit)),
        ),
    ] {
        let text = format!("{} of {}", budget.used, budget.limit);
        row(html, title, &text, budget)?;
    }
    for (title, budget) in [
        ("Requests in flight", server.in_flight),
        ("Plans", of((catalog.plans.in_use, catalog.plans.limit))),
        (
            "Converted files",
            of((catalog.converted.in_use, catalog.converted.limit)),
        ),
        ("Cache", of_sizes(catalog.cache)),
        ("Large blobs on disk", of(catalog.spool)),
    ] {
        let text = format!("{} of {}", show_size(budget.used), show_size(budget.limit));
        row(html, title, &text, budget)?;
    }
    if let (Some(files), Some(limit)) = (reading.open_files, reading.open_files_limit) {
        let used = of_sizes((files, 0)).used;
        let text = format!("{used} of {limit}");
        row(html, "Open files", &text, Use { used, limit })?;
    }
    html.push_str("</table>\n");
    Ok(())
}

fn of((used, limit): (u64, u64)) -> Use {
    Use { used, limit }
}

fn of_sizes((used, limit): (usize, usize)) -> Use {
    let number = |size| u64::try_from(size).expect("a usize has at most 64 bits");
    of((number(used), number(limit)))
}

fn row(html: &mut String, title: &str, text: &str, budget: Use) -> fmt::Result {
    let Use { used, limit } = budget;
    // A meter without room shows nothing.
    let max = limit.max(1);
    writeln!(
        html,
        "<tr><th>{title}<td class=\"number\">{text}\
         <td><meter value=\"{used}\" max=\"{max}\" aria-label=\"{title}\"></meter>"
    )
}

/// What went wrong since the start; what did not is left out.
fn failures(html: &mut String, reading: &Reading) -> fmt::Result {
    let server = &reading.server;
    let refused = server.refused.iter();
    let refused = refused.map(|(limit, count)| (format!("refused: {limit}"), *count));
    let ended = server
        .ended
        .iter()
        .filter(|(reason, _)| *reason != "closed");
    let ended = ended.map(|(reason, count)| (format!("ended: {reason}"), *count));
    let opens = server
        .opens
        .iter()
        .filter(|(result, _)| *result != "opened");
    let opens = opens.map(|(result, times)| (format!("not opened: {result}"), times.count()));
    let errors = server.errors.iter();
    let errors = errors.map(|(error, count)| (format!("replies with {error}"), *count));
    let damaged = ("damaged maps".to_owned(), reading.catalog.damaged_maps);
    let all = refused.chain(ended).chain(opens).chain(errors);
    let failures: Vec<_> = all
        .chain([damaged, ("panics".to_owned(), server.panics)])
        .filter(|(_, count)| *count > 0)
        .collect();
    html.push_str("<h2>Failures since the start</h2>\n");
    if failures.is_empty() {
        return writeln!(html, "<p>None.</p>");
    }
    html.push_str("<table>\n");
    for (name, count) in failures {
        writeln!(html, "<tr><th>{name}<td class=\"number\">{count}")?;
    }
    html.push_str("</table>\n");
    Ok(())
}

/// How long ago, in its two greatest units.
fn since(time: SystemTime) -> String {
    // A clock that was set back since then.
    let passed = time.elapsed().unwrap_or(Duration::ZERO).as_secs();
    let (minutes, hours, days) = (passed / 60, passed / 3600, passed / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{passed} s"),
        (0, 0, _) => format!("{minutes} min {} s", passed % 60),
        (0, ..) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}
