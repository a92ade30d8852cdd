//! A tool call that is repeated is done once.
//!
//! A proxy that lost a response, or gave up on it, sends the request again.
//! Within one MCP session no request id is used twice, so the second call is the
//! first one, and gets the same response.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{
    Error,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, watch};
use tracing::error;

use super::{app::MAX_BODY, session_ids::SESSION};

/// How many calls are remembered.
const MAX_CALLS: usize = 64;
/// The longest response in bytes that is cached: a screen fits, and the cache
/// holds [`MAX_CALLS`] of them.
const MAX_RESPONSE: usize = 256 << 10;

/// Identifies a call: the digest of its session and of its whole body.
type CallId = [u8; 32];
/// A response; none until it is complete.
type Cached = Option<(StatusCode, HeaderMap, Bytes)>;

/// The last calls, and their responses.
#[derive(Debug, Clone, Default)]
pub(super) struct RecentCalls(Arc<Mutex<VecDeque<Entry>>>);

type Entry = (CallId, watch::Receiver<Cached>);

/// A JSON-RPC message, as far as it matters here.
#[derive(Deserialize)]
struct Message {
    id: Option<Value>,
    method: Option<String>,
}

/// Whether a call was seen before.
enum Seen {
    /// It was: its response arrives here.
    Before(watch::Receiver<Cached>),
    /// It was not: its response is to be sent here.
    Never(watch::Sender<Cached>),
}

impl RecentCalls {
    /// Looks a call up, and remembers it.
    fn enter(&self, call: CallId) -> Seen {
        let mut calls = self.0.lock().expect("no holder of this lock panics");
        // A call that failed is forgotten: its sender is dropped without a response.
        calls.retain(|(_, response)| response.borrow().is_some() || response.has_changed().is_ok());
        if let Some((_, response)) = calls.iter().find(|(known, _)| *known == call) {
            return Seen::Before(response.clone());
        }
        let (sender, response) = watch::channel(None);
        calls.push_back((call, response));
        if calls.len() > MAX_CALLS {
            calls.pop_front();
        }
        Seen::Never(sender)
    }
}

/// Middleware: does a tool call, or answers as the same call was answered
/// before.
pub(super) async fn deduplicate(
    State(calls): State<RecentCalls>,
    request: Request,
    next: Next,
) -> Response {
    // An id that is not ASCII names no session: the service refuses it.
    let session = request.headers().get(SESSION);
    let session = session.and_then(|session| Some(session.to_str().ok()?.to_owned()));
    let Some(session) = session.filter(|_| request.method() == Method::POST) else {
        return next.run(request).await;
    };
    let (parts, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, MAX_BODY).await else {
        let message = "the request is cut, or too long\n";
        return (StatusCode::PAYLOAD_TOO_LARGE, message).into_response();
    };
    let request = Request::from_parts(parts, Body::from(bytes.clone()));
    if !is_tool_call(&bytes) {
        return next.run(request).await;
    }
    match calls.enter(call_id(&session, &bytes)) {
        Seen::Before(response) => cached(response).await,
        Seen::Never(sender) => {
            // The call goes on when the caller disconnects: he may call again.
            let done = tokio::spawn(async move { cache(next.run(request).await, sender) });
            done.await.unwrap_or_else(|error| {
                error!(%error, "a tool call was not answered");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            })
        }
    }
}

/// The value of a header has no line feed, so the digest is of both parts.
fn call_id(session: &str, bytes: &[u8]) -> CallId {
    let digest = Sha256::new_with_prefix(session).chain_update(b"\n");
    digest.chain_update(bytes).finalize().into()
}

/// Whether a body is a tool call. One that is not JSON is for the service to
/// refuse.
fn is_tool_call(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Message>(bytes).is_ok_and(|message| {
        message.id.is_some() && message.method.as_deref() == Some("tools/call")
    })
}

/// Waits for the response to the first of equal calls.
async fn cached(mut response: watch::Receiver<Cached>) -> Response {
    let whole = response.wait_for(Option::is_some).await;
    let whole = whole.map(|response| response.clone());
    let (status, headers, bytes) = match whole {
        Ok(Some(whole)) => whole,
        Ok(None) | Err(_) => not_cached(),
    };
    (status, headers, bytes).into_response()
}

fn not_cached() -> (StatusCode, HeaderMap, Bytes) {
    let message = "this call was made before, and its answer was not kept\n";
    (StatusCode::CONFLICT, HeaderMap::new(), message.into())
}

/// Forwards a response as it comes, and caches a copy of it if it is complete and
/// the call was accepted.
fn cache(response: Response, sender: watch::Sender<Cached>) -> Response {
    if !response.status().is_success() {
        return response;
    }
    let (parts, body) = response.into_parts();
    let (status, headers) = (parts.status, parts.headers.clone());
    let (forward, forwarded) = mpsc::channel(16);
    tokio::spawn(async move {
        let response = match copy(body, &forward).await {
            Copied::Whole(copy) => (status, headers, copy.into()),
            Copied::TooLong => not_cached(),
            Copied::Cut => return,
        };
        sender.send_replace(Some(response));
    });
    let pieces = stream::unfold(forwarded, async |mut forwarded| {
        Some((forwarded.recv().await?, forwarded))
    });
    Response::from_parts(parts, Body::from_stream(pieces))
}

/// The copy of a response after it was forwarded.
#[derive(Debug, PartialEq, Eq)]
enum Copied {
    Whole(Vec<u8>),
    /// It was complete, but is too long to be cached.
    TooLong,
    /// It ended with an error.
    Cut,
}

/// Forwards a body, and copies it.
async fn copy(body: Body, forward: &mpsc::Sender<Result<Bytes, Error>>) -> Copied {
    let (mut pieces, mut copy) = (body.into_data_stream(), Some(Vec::new()));
    while let Some(piece) = pieces.next().await {
        let is_cut = piece.is_err();
        if let (Ok(piece), Some(copy)) = (&piece, &mut copy) {
            copy.extend_from_slice(piece);
        }
        copy = copy.filter(|copy| copy.len() <= MAX_RESPONSE);
        // The caller may have disconnected; the copy is for when he calls again.
        drop(forward.send(piece).await);
        if is_cut {
            return Copied::Cut;
        }
    }
    copy.map_or(Copied::TooLong, Copied::Whole)
}

#[cfg(test)]
mod tests {
    use axum::{Error, body::Body};
    use bytes::Bytes;
    use futures_util::stream;
    use tokio::sync::mpsc;

    use super::{Copied, MAX_RESPONSE, call_id, copy};

    #[tokio::test]
    async fn every_response_is_forwarded_and_a_short_one_is_cached() {
        let short = vec![b'x'; MAX_RESPONSE];
        let long = vec![b'x'; MAX_RESPONSE + 1];
        for (answer, expected) in [
            (short.clone(), Copied::Whole(short)),
            (long, Copied::TooLong),
        ] {
            let (forward, mut forwarded) = mpsc::channel(16);
            assert_eq!(copy(Body::from(answer.clone()), &forward).await, expected);
            assert_eq!(forwarded.recv().await.unwrap().unwrap(), answer);
        }
        let pieces = [Ok(Bytes::from("a")), Err(Error::new("cut"))];
        let (forward, _forwarded) = mpsc::channel(16);
        let cut = copy(Body::from_stream(stream::iter(pieces)), &forward).await;
        assert_eq!(cut, Copied::Cut);
    }

    #[test]
    fn different_calls_have_different_ids() {
        assert_eq!(call_id("a", b"b"), call_id("a", b"b"));
        assert_ne!(call_id("a", b"b"), call_id("a", b"c"));
        assert_ne!(call_id("a", b"b"), call_id("b", b"b"));
    }
}
