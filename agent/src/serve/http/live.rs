//! `/live`: the output of a run, byte for byte, at any time.

use std::{io, sync::Arc};

use axum::{
    Json,
    body::Body,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use super::{
    App,
    conditions::{precondition, range},
    range::{Wanted, wanted},
};
use crate::{
    serve::output_log::{Extent, OutputLog, Reader},
    serve::session::Watching,
};

/// How much is read at once, and so what a reader that stalls costs.
const PIECE: usize = 64 << 10;

#[derive(Debug, Deserialize)]
pub(super) struct Ask {
    /// Begin here.
    offset: Option<u64>,
    /// Go on until the run ends.
    follow: Option<String>,
}

#[derive(Serialize)]
struct Known {
    run: String,
    first: u64,
    bytes: u64,
    missing: u64,
    current: bool,
}

/// The current run, or the last.
pub(super) async fn current(
    State(app): State<App>,
    Query(ask): Query<Ask>,
    headers: HeaderMap,
) -> Response {
    if ask.follow.as_deref().is_some_and(|follow| follow != "0") {
        return follow(&app, &ask, &headers);
    }
    let Some(run) = app.session.run() else {
        let mut response = StatusCode::OK.into_response();
        describe(&mut response, "", Extent::default());
        return response;
    };
    answer(&run.id().to_string(), run.log(), &ask, &headers)
}

/// The bytes from an offset on until the run ends; from the beginning of the
/// first run, where there is none yet.
fn follow(app: &App, ask: &Ask, headers: &HeaderMap) -> Response {
    let run = app.session.run();
    let extent = run
        .as_ref()
        .map_or_else(Extent::default, |run| run.log().extent());
    let start = ask.offset.unwrap_or(extent.first);
    if let Some(run) = run.as_ref().filter(|_| start < extent.first) {
        return answer(&run.id().to_string(), run.log(), ask, headers);
    }
    let name = run
        .as_ref()
        .map_or_else(String::new, |run| run.id().to_string());
    let session = Arc::clone(&app.session);
    let watching = session.watch();
    let pieces = stream::once(async move {
        let run = match run {
            Some(run) => run,
            None => session.next_run(None).await,
        };
        bytes(run.log().reader(start), None, Some(watching))
    });
    let mut response = Body::from_stream(pieces.flatten()).into_response();
    describe(&mut response, &name, extent);
    response
}

/// An earlier run.
pub(super) async fn earlier(
    State(app): State<App>,
    Path(run): Path<String>,
    Query(ask): Query<Ask>,
    headers: HeaderMap,
) -> Response {
    let current = app
        .session
        .run()
        .filter(|current| current.id().to_string() == run);
    let log = match (current, run.parse()) {
        (Some(current), _) => Some(Arc::clone(current.log())),
        (None, Ok(id)) => app.session.runs().open(id).ok().map(Arc::new),
        (None, Err(_)) => None,
    };
    match log {
        Some(log) => answer(&run, &log, &ask, &headers),
        None => (
            StatusCode::NOT_FOUND,
            "there is no such run: see /live/runs\n",
        )
            .into_response(),
    }
}

/// The runs that are kept, oldest first.
pub(super) async fn runs(State(app): State<App>) -> Response {
    let current = app.session.run();
    let Ok(runs) = app.session.runs().list() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let known = runs.into_iter().filter_map(|id| {
        let is_current = current.as_ref().filter(|run| run.id() == id);
        let extent = match is_current {
            Some(run) => run.log().extent(),
            None => app.session.runs().open(id).ok()?.extent(),
        };
        Some(Known {
            run: id.to_string(),
            first: extent.first,
            bytes: extent.end,
            missing: extent.missing,
            current: is_current.is_some(),
        })
    });
    Json(known.collect::<Vec<_>>()).into_response()
}

/// The bytes that are there now.
fn answer(run: &str, log: &Arc<OutputLog>, ask: &Ask, headers: &HeaderMap) -> Response {
    let extent = log.extent();
    let tag = entity_tag(run, extent);
    if let Some(code) = precondition(headers, &tag) {
        let mut response = code.into_response();
        describe(&mut response, run, extent);
        return response;
    }
    let wanted = match (ask.offset, range(headers, &tag)) {
        (Some(offset), _) if offset < extent.first || offset > extent.end => Wanted::Nothing,
        (None, Some(range)) => wanted(range, extent),
        _ => Wanted::All,
    };
    let start = ask.offset.unwrap_or(extent.first);
    let (code, start, end) = match wanted {
        Wanted::All => (StatusCode::OK, start, extent.end),
        Wanted::Part(start, end) => (StatusCode::PARTIAL_CONTENT, start, end),
        Wanted::Nothing => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0),
    };
    let length = end - start;
    let content_range = match wanted {
        Wanted::All => None,
        Wanted::Part(..) => Some(format!("bytes {start}-{}/{}", end - 1, extent.end)),
        Wanted::Nothing => Some(format!("bytes */{}", extent.end)),
    };
    let body = Body::from_stream(bytes(log.reader(start), Some(length), None));
    let mut response = (code, [(header::CONTENT_LENGTH, length)], body).into_response();
    describe(&mut response, run, extent);
    if let Some(value) = content_range.and_then(|value| value.parse().ok()) {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    response
}

fn entity_tag(run: &str, extent: Extent) -> String {
    format!("\"{run}-{}-{}\"", extent.first, extent.end)
}

/// Says what it is, and keeps browsers from showing it: it is other people's
/// text, with prompts and code in it.
fn describe(response: &mut Response, run: &str, extent: Extent) {
    let fixed = [
        ("content-type", "application/octet-stream"),
        ("content-disposition", "attachment; filename=\"live.log\""),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("x-accel-buffering", "no"),
        ("accept-ranges", "bytes"),
    ];
    let own = [
        ("agent-run", run.to_owned()),
        ("agent-first-offset", extent.first.to_string()),
        ("agent-end-offset", extent.end.to_string()),
        ("agent-missing-bytes", extent.missing.to_string()),
        ("etag", entity_tag(run, extent)),
    ];
    let fixed = fixed.map(|(name, value)| (name, value.to_owned()));
    for (name, value) in fixed.into_iter().chain(own) {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
}

/// Bytes as they are asked for: `length` of them, or all until the run ends.
fn bytes(
    reader: Reader,
    length: Option<u64>,
    watching: Option<Watching>,
) -> impl futures_util::Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(
        (reader, length, watching),
        async |(mut reader, left, watching)| {
            if left == Some(0) || (left.is_none() && !reader.wait().await) {
                return Ok(None);
            }
            let most = left.map_or(PIECE, |left| {
                usize::try_from(left).unwrap_or(PIECE).min(PIECE)
            });
            let read = spawn_blocking(move || {
                let mut piece = vec![0; most];
                let read = reader.read(&mut piece)?;
                piece.truncate(read);
                Ok::<_, io::Error>((reader, piece))
            });
            let (reader, piece) = read.await.map_err(io::Error::other)??;
            let taken = u64::try_from(piece.len()).map_err(io::Error::other)?;
            let left = left.map(|left| left - taken);
            Ok(Some((Bytes::from(piece), (reader, left, watching))))
        },
    )
}
