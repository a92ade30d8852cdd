//! A tool call that is sent again is done once.
//!
//! - While a call is in flight, one of the same session with the same bytes, id
//!   included, is that call: it gets the same response.
//! - Once a call is answered, one with the same bytes is a new call, since some
//!   clients give all their calls one id. Only where Fly's proxy has failed to
//!   replay a request, which it marks, may the agent have got it before: then it
//!   gets the same response as long as that is cached.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Error, Json,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, watch};
use tracing::error;

use super::{app::MAX_BODY, session_ids::SESSION};
use crate::token::REPLAY_FAILED;

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

/// A call.
#[derive(Debug)]
struct Entry {
    call: CallId,
    response: watch::Receiver<Cached>,
    /// Whether its response has been sent.
    answered: Arc<AtomicBool>,
}

/// Where the response to a call is to be sent.
struct Answer {
    response: watch::Sender<Cached>,
    answered: Arc<AtomicBool>,
}

/// A JSON-RPC message, as far as it matters here.
#[derive(Default, Deserialize)]
struct Message {
    id: Option<Value>,
    method: Option<String>,
    result: Option<IgnoredAny>,
    error: Option<IgnoredAny>,
}

impl Message {
    fn is_tool_call(&self) -> bool {
        self.id.is_some() && self.method.as_deref() == Some("tools/call")
    }

    fn is_response(&self) -> bool {
        self.result.is_some() || self.error.is_some()
    }
}

/// Whether a piece of a response body, a Server-Sent Event or JSON, answers the
/// call.
fn answers(piece: &[u8]) -> bool {
    let mut lines = piece.split(|byte| *byte == b'\n');
    lines.any(|line| {
        let json = line.strip_prefix(b"data:").unwrap_or(line);
        serde_json::from_slice::<Message>(json).is_ok_and(|message| message.is_response())
    })
}

/// Whether a call was seen before.
enum Seen {
    /// It was: its response arrives here.
    Before(watch::Receiver<Cached>),
    /// It was not: its response is to be sent here.
    Never(Answer),
}

impl RecentCalls {
    /// Looks a call up, and remembers it. One that was answered is looked for only
    /// if this may be the same one, sent again.
    fn enter(&self, call: CallId, sent_again: bool) -> Seen {
        let mut calls = self.0.lock().expect("no holder of this lock panics");
        // A call that failed is forgotten: its sender is dropped without a response.
        calls.retain(|Entry { response, .. }| {
            response.borrow().is_some() || response.has_changed().is_ok()
        });
        let known = calls.iter().rev().find(|known| known.call == call);
        let same = known.filter(|known| sent_again || !known.answered.load(Ordering::SeqCst));
        if let Some(same) = same {
            return Seen::Before(same.response.clone());
        }
        let (sender, response) = watch::channel(None);
        let answered = Arc::<AtomicBool>::default();
        calls.push_back(Entry {
            call,
            response,
            answered: Arc::clone(&answered),
        });
        if calls.len() > MAX_CALLS {
            calls.pop_front();
        }
        Seen::Never(Answer {
            response: sender,
            answered,
        })
    }
}

/// Middleware: does a tool call, or answers as the same call was answered
/// before.
pub(super) async fn deduplicate(
    State(calls): State<RecentCalls>,
    request: Request,
    next: Next,
) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    // An id that is not ASCII names no session: the service refuses it.
    let session = request.headers().get(SESSION);
    let session = session.and_then(|session| Some(session.to_str().ok()?.to_owned()));
    let sent_again = request.headers().contains_key(REPLAY_FAILED);
    let (parts, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, MAX_BODY).await else {
        let message = "the request is cut, or too long\n";
        return (StatusCode::PAYLOAD_TOO_LARGE, message).into_response();
    };
    let message = match serde_json::from_slice(&bytes) {
        Ok(message) => message,
        Err(error) if error.is_data() => Message::default(),
        Err(error) => return not_json(&error),
    };
    let request = Request::from_parts(parts, Body::from(bytes.clone()));
    let Some(session) = session.filter(|_| message.is_tool_call()) else {
        return next.run(request).await;
    };
    match calls.enter(call_id(&session, &bytes), sent_again) {
        Seen::Before(response) => cached(response).await,
        Seen::Never(answer) => {
            // The call goes on when the caller disconnects: he may call again.
            let done = tokio::spawn(async move { cache(next.run(request).await, answer) });
            done.await.unwrap_or_else(|error| {
                error!(%error, "a tool call was not answered");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            })
        }
    }
}

/// The answer to a body that is not JSON (JSON-RPC 2.0, 5.1; MCP, "Sending
/// Messages to the Server").
fn not_json(error: &serde_json::Error) -> Response {
    let message = format!("Parse error: {error}");
    let body = json!({
        "jsonrpc": "2.0",
        "id": null,
        "error": { "code": -32700, "message": message },
    });
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

/// The value of a header has no line feed, so the digest is of both parts.
fn call_id(session: &str, bytes: &[u8]) -> CallId {
    let digest = Sha256::new_with_prefix(session).chain_update(b"\n");
    digest.chain_update(bytes).finalize().into()
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
fn cache(response: Response, answer: Answer) -> Response {
    if !response.status().is_success() {
        return response;
    }
    let (parts, body) = response.into_parts();
    let (status, headers) = (parts.status, parts.headers.clone());
    let (forward, forwarded) = mpsc::channel(16);
    tokio::spawn(async move {
        let response = match copy(body, &forward, &answer.answered).await {
            Copied::Whole(copy) => (status, headers, copy.into()),
            Copied::TooLong => not_cached(),
            Copied::Cut => return,
        };
        answer.response.send_replace(Some(response));
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

/// Forwards a body, and copies it. The call is answered from before the caller
/// can know: his next one is another.
async fn copy(
    body: Body,
    forward: &mpsc::Sender<Result<Bytes, Error>>,
    answered: &AtomicBool,
) -> Copied {
    let (mut pieces, mut copy) = (body.into_data_stream(), Some(Vec::new()));
    while let Some(piece) = pieces.next().await {
        let is_cut = piece.is_err();
        if let (Ok(piece), Some(copy)) = (&piece, &mut copy) {
            copy.extend_from_slice(piece);
            answered.fetch_or(answers(piece), Ordering::SeqCst);
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
    use std::sync::atomic::{AtomicBool, Ordering};

    use axum::{Error, body::Body};
    use bytes::Bytes;
    use futures_util::stream;
    use tokio::sync::mpsc;

    use super::{Copied, MAX_RESPONSE, RecentCalls, Seen, answers, call_id, copy};

    #[tokio::test]
    async fn every_response_is_forwarded_and_a_short_one_is_cached() {
        let short = vec![b'x'; MAX_RESPONSE];
        let long = vec![b'x'; MAX_RESPONSE + 1];
        for (answer, expected) in [
            (short.clone(), Copied::Whole(short)),
            (long, Copied::TooLong),
        ] {
            let (forward, mut forwarded) = mpsc::channel(16);
            let answered = AtomicBool::default();
            let copied = copy(Body::from(answer.clone()), &forward, &answered).await;
            assert_eq!(copied, expected);
            assert_eq!(forwarded.recv().await.unwrap().unwrap(), answer);
        }
        let pieces = [Ok(Bytes::from("a")), Err(Error::new("cut"))];
        let (forward, _forwarded) = mpsc::channel(16);
        let pieces = Body::from_stream(stream::iter(pieces));
        let cut = copy(pieces, &forward, &AtomicBool::default()).await;
        assert_eq!(cut, Copied::Cut);
    }

    #[test]
    fn different_calls_have_different_ids() {
        assert_eq!(call_id("a", b"b"), call_id("a", b"b"));
        assert_ne!(call_id("a", b"b"), call_id("a", b"c"));
        assert_ne!(call_id("a", b"b"), call_id("b", b"b"));
    }

    #[test]
    fn a_call_is_joined_in_flight_and_afterwards_only_if_it_is_sent_again() {
        let calls = RecentCalls::default();
        let call = call_id("a", b"b");
        let Seen::Never(first) = calls.enter(call, false) else {
            panic!("a call is new");
        };
        assert!(matches!(calls.enter(call, false), Seen::Before(_)));
        first.answered.store(true, Ordering::SeqCst);
        assert!(matches!(calls.enter(call, true), Seen::Before(_)));
        let Seen::Never(_second) = calls.enter(call, false) else {
            panic!("an answered call may be made again");
        };
        assert!(matches!(calls.enter(call, false), Seen::Before(_)));
    }

    #[test]
    fn the_piece_with_the_response_is_recognized() {
        for (piece, answer) in [
            ("id: 0\ndata:\n\n", false),
            (
                "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n",
                false,
            ),
            ("event: message\ndata: {\"id\":1,\"result\":{}}\n\n", true),
            ("{\"id\":1,\"error\":{\"code\":-1}}", true),
        ] {
            assert_eq!(answers(piece.as_bytes()), answer, "{piece}");
        }
    }
}
