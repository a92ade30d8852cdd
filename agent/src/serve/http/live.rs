//! `/live`: the output of a run, byte for byte, while it runs and after.

use std::{
    io::{self, Read},
    sync::Arc,
};

use axum::{
    Json,
    body::Body,
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tracing::{debug, warn};

use super::{
    app::App,
    conditions::{precondition, range},
    range::{Selection, select},
};
use crate::serve::{
    output_log::{Extent, OutputLog, Reader, RunId, at_most},
    session::Watching,
};

/// How many bytes are read at once: the memory that a stalled reader costs.
const PIECE: usize = 64 << 10;

/// The query of a request.
#[derive(Debug, Deserialize)]
pub(super) struct LiveQuery {
    /// The first offset; without it, the first that is retained.
    offset: Option<u64>,
    /// Whether to go on until the run ends: any value but `0`.
    follow: Option<String>,
}

/// An entry of `/live/runs`.
#[derive(Serialize)]
struct RunSummary {
    run: String,
    first: u64,
    bytes: u64,
    missing: u64,
    current: bool,
}

/// The current run, or the last.
pub(super) async fn current(
    State(app): State<App>,
    Query(query): Query<LiveQuery>,
    headers: HeaderMap,
) -> Response {
    if query.follow.as_deref().is_some_and(|follow| follow != "0") {
        return follow(&app, &query, &headers);
    }
    let Some(run) = app.session.run() else {
        let mut response = StatusCode::OK.into_response();
        describe(&mut response, "", Extent::default());
        return response;
    };
    answer(&run.id().to_string(), run.log(), &query, &headers)
}

/// Answers with the bytes from an offset on until the run ends; where there is
/// no run yet, with those of the first.
fn follow(app: &App, query: &LiveQuery, headers: &HeaderMap) -> Response {
    let run = app.session.run();
    let extent = run
        .as_ref()
        .map_or_else(Extent::default, |run| run.log().extent());
    let start = query.offset.unwrap_or(extent.first);
    if let Some(run) = run.as_ref().filter(|_| start < extent.first) {
        return answer(&run.id().to_string(), run.log(), query, headers);
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
    Query(query): Query<LiveQuery>,
    headers: HeaderMap,
) -> Response {
    match find(&app, &run) {
        Ok((id, log)) => answer(&id.to_string(), &log, &query, &headers),
        Err(refused) => *refused,
    }
}

/// When the output of a run came.
pub(super) async fn times(State(app): State<App>, Path(run): Path<String>) -> Response {
    let log = match find(&app, &run) {
        Ok((_, log)) => log,
        Err(refused) => return *refused,
    };
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    match log.times_text() {
        Ok(text) => (headers, Body::from_stream(pieces(text))).into_response(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let message = "it is not known when the output of this run came: agent 0.1.0 ran it\n";
            (StatusCode::NOT_FOUND, message).into_response()
        }
        Err(error) => unreadable(&error),
    }
}

/// The run of this name, and its log; or the answer that there is none.
pub(super) fn find(app: &App, run: &str) -> Result<(RunId, Arc<OutputLog>), Box<Response>> {
    let not_found = || {
        let message = "there is no such run: see /live/runs\n";
        Box::new((StatusCode::NOT_FOUND, message).into_response())
    };
    let id = run.parse::<RunId>().map_err(|_| not_found())?;
    let opened = match app.session.run().filter(|current| current.id() == id) {
        Some(current) => Ok(Arc::clone(current.log())),
        None => app.session.runs().open(id).map(Arc::new),
    };
    match opened {
        Ok(log) => Ok((id, log)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(not_found()),
        Err(error) => Err(Box::new(unreadable(&error))),
    }
}

/// Answers that the logs cannot be read.
fn unreadable(error: &io::Error) -> Response {
    warn!(%error, "cannot read a log");
    let message = format!("cannot read the log: {error}\n");
    (StatusCode::INTERNAL_SERVER_ERROR, message).into_response()
}

/// The runs that are retained, oldest first.
pub(super) async fn runs(State(app): State<App>) -> Response {
    let current = app.session.run();
    let runs = match app.session.runs().list() {
        Ok(runs) => runs,
        Err(error) => return unreadable(&error),
    };
    let listed = runs.into_iter().filter_map(|id| {
        let is_current = current.as_ref().filter(|run| run.id() == id);
        let extent = match is_current {
            Some(run) => run.log().extent(),
            None => match app.session.runs().open(id) {
                Ok(log) => log.extent(),
                Err(error) => {
                    warn!(run = %id, %error, "a run whose log cannot be read is not listed");
                    return None;
                }
            },
        };
        Some(RunSummary {
            run: id.to_string(),
            first: extent.first,
            bytes: extent.end,
            missing: extent.missing,
            current: is_current.is_some(),
        })
    });
    Json(listed.collect::<Vec<_>>()).into_response()
}

/// Answers with the bytes that are there now.
fn answer(run: &str, log: &Arc<OutputLog>, query: &LiveQuery, headers: &HeaderMap) -> Response {
    let extent = log.extent();
    let tag = entity_tag(run, extent);
    if let Some(code) = precondition(headers, &tag) {
        let mut response = code.into_response();
        describe(&mut response, run, extent);
        return response;
    }
    let selection = match (query.offset, range(headers, &tag)) {
        (Some(offset), _) if offset < extent.first || offset > extent.end => {
            Selection::Unsatisfiable
        }
        (None, Some(range)) => select(range, extent),
        _ => Selection::All,
    };
    let start = query.offset.unwrap_or(extent.first);
    let (code, start, end) = match selection {
        Selection::All => (StatusCode::OK, start, extent.end),
        Selection::Part(start, end) => (StatusCode::PARTIAL_CONTENT, start, end),
        Selection::Unsatisfiable => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0),
    };
    let length = end - start;
    let content_range = match selection {
        Selection::All => None,
        Selection::Part(..) => Some(format!("bytes {start}-{}/{}", end - 1, extent.end)),
        Selection::Unsatisfiable => Some(format!("bytes */{}", extent.end)),
    };
    let body = Body::from_stream(bytes(log.reader(start), Some(length), None));
    let mut response = (code, [(header::CONTENT_LENGTH, length)], body).into_response();
    describe(&mut response, run, extent);
    if let Some(value) = content_range {
        let value = ascii(value);
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    response
}

fn entity_tag(run: &str, extent: Extent) -> String {
    format!("\"{run}-{}-{}\"", extent.first, extent.end)
}

/// Adds the headers that describe the body, and that keep browsers from
/// displaying it: it is untrusted text.
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
        response.headers_mut().insert(name, ascii(value));
    }
}

/// The value of a header that consists of digits and fixed text.
fn ascii(value: String) -> HeaderValue {
    HeaderValue::try_from(value).expect("the values are visible ASCII")
}

/// A body of `length` bytes, or of all until the run ends.
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
            let length = left.map_or(PIECE, |left| at_most(left, PIECE));
            let read = spawn_blocking(move || {
                let mut piece = vec![0; length];
                let read = reader.read(&mut piece);
                // The answer is cut: its status has been sent.
                let read = read.inspect_err(|error| debug!(%error, "/live is cut"))?;
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

/// A body of all that a file has.
fn pieces(text: impl Read + Send + 'static) -> impl futures_util::Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(text, async |mut text| {
        let read = spawn_blocking(move || {
            let mut piece = Vec::with_capacity(PIECE);
            let limit = u64::try_from(PIECE).map_err(io::Error::other)?;
            (&mut text).take(limit).read_to_end(&mut piece)?;
            Ok::<_, io::Error>((text, piece))
        });
        let (text, piece) = read.await.map_err(io::Error::other)??;
        Ok((!piece.is_empty()).then(|| (Bytes::from(piece), text)))
    })
}
