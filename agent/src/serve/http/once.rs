//! A tool call that comes twice is done once.
//!
//! A proxy that lost an answer, or gave up on it, sends the request again. In
//! one MCP session no id is used twice, so the second is the first, and gets
//! the same answer.

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

use super::{LONGEST_BODY, carried::SESSION};

/// So many calls are remembered.
const REMEMBERED: usize = 64;
/// A longer answer is not kept: a screen fits, and so do 64 of them.
const LONGEST_ANSWER: usize = 256 << 10;

/// A call: the digest of its session and of all that it says, which may be long.
type Call = [u8; 32];
/// Its answer, once it is whole.
type Answer = Option<(StatusCode, HeaderMap, Bytes)>;

/// The last calls.
#[derive(Debug, Clone, Default)]
pub(super) struct Calls(Arc<Mutex<VecDeque<Entry>>>);

type Entry = (Call, watch::Receiver<Answer>);

#[derive(Deserialize)]
struct Message {
    id: Option<Value>,
    method: Option<String>,
}

impl Calls {
    /// The answer to this call if it came before, or how to tell of it.
    fn enter(&self, call: Call) -> Result<watch::Receiver<Answer>, watch::Sender<Answer>> {
        let mut calls = self.0.lock().expect("nothing panics with it");
        // One that failed is forgotten: its sender is gone, and has told nothing.
        calls.retain(|(_, answer)| answer.borrow().is_some() || answer.has_changed().is_ok());
        if let Some((_, answer)) = calls.iter().find(|(known, _)| *known == call) {
            return Ok(answer.clone());
        }
        let (tell, answer) = watch::channel(None);
        calls.push_back((call, answer));
        if calls.len() > REMEMBERED {
            calls.pop_front();
        }
        Err(tell)
    }
}

/// Does a tool call, or gives the answer of the first that was the same.
pub(super) async fn once(State(calls): State<Calls>, request: Request, next: Next) -> Response {
    let session = request.headers().get(SESSION);
    let session = session.and_then(|session| Some(session.to_str().ok()?.to_owned()));
    let Some(session) = session.filter(|_| request.method() == Method::POST) else {
        return next.run(request).await;
    };
    let (parts, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, LONGEST_BODY).await else {
        let told = "the request is cut, or too long\n";
        return (StatusCode::PAYLOAD_TOO_LARGE, told).into_response();
    };
    let request = Request::from_parts(parts, Body::from(bytes.clone()));
    if !is_tool_call(&bytes) {
        return next.run(request).await;
    }
    match calls.enter(digest(&session, &bytes)) {
        Ok(answer) => known(answer).await,
        Err(tell) => {
            // It goes on when the caller goes away: he may come back.
            let done = tokio::spawn(async move { keep(next.run(request).await, tell) });
            let failed = |_| StatusCode::INTERNAL_SERVER_ERROR.into_response();
            done.await.unwrap_or_else(failed)
        }
    }
}

/// Header values have no line feed.
fn digest(session: &str, bytes: &[u8]) -> Call {
    let digest = Sha256::new_with_prefix(session).chain_update(b"\n");
    digest.chain_update(bytes).finalize().into()
}

fn is_tool_call(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Message>(bytes).is_ok_and(|message| {
        message.id.is_some() && message.method.as_deref() == Some("tools/call")
    })
}

async fn known(mut answer: watch::Receiver<Answer>) -> Response {
    let told = answer.wait_for(Option::is_some).await;
    let told = told.ok().and_then(|answer| answer.clone());
    let (status, headers, bytes) = told.unwrap_or_else(not_kept);
    (status, headers, bytes).into_response()
}

fn not_kept() -> (StatusCode, HeaderMap, Bytes) {
    let told = "this call was made before, and its answer was not kept\n";
    (StatusCode::CONFLICT, HeaderMap::new(), told.into())
}

/// Passes an answer on as it comes, and keeps a copy of it if it is whole and
/// of a call that was taken.
fn keep(response: Response, tell: watch::Sender<Answer>) -> Response {
    if !response.status().is_success() {
        return response;
    }
    let (parts, body) = response.into_parts();
    let (status, headers) = (parts.status, parts.headers.clone());
    let (pass, passed) = mpsc::channel(16);
    tokio::spawn(async move {
        let told = match copied(body, &pass).await {
            Copied::Whole(copy) => (status, headers, copy.into()),
            Copied::Long => not_kept(),
            Copied::Cut => return,
        };
        tell.send_replace(Some(told));
    });
    let pieces = stream::unfold(passed, async |mut passed| {
        Some((passed.recv().await?, passed))
    });
    Response::from_parts(parts, Body::from_stream(pieces))
}

/// What there is of an answer once it has passed.
#[derive(Debug, PartialEq, Eq)]
enum Copied {
    Whole(Vec<u8>),
    /// It was whole, but is too long to keep.
    Long,
    Cut,
}

/// Sends a body on, and copies it.
async fn copied(body: Body, pass: &mpsc::Sender<Result<Bytes, Error>>) -> Copied {
    let (mut pieces, mut copy) = (body.into_data_stream(), Some(Vec::new()));
    while let Some(piece) = pieces.next().await {
        let is_cut = piece.is_err();
        if let (Ok(piece), Some(kept)) = (&piece, &mut copy) {
            kept.extend_from_slice(piece);
        }
        copy = copy.filter(|kept| kept.len() <= LONGEST_ANSWER);
        // The caller may be gone; the copy is for when he comes back.
        let _passed = pass.send(piece).await;
        if is_cut {
            return Copied::Cut;
        }
    }
    copy.map_or(Copied::Long, Copied::Whole)
}

#[cfg(test)]
mod tests {
    use axum::{Error, body::Body};
    use bytes::Bytes;
    use futures_util::stream;
    use tokio::sync::mpsc;

    use super::{Copied, LONGEST_ANSWER, copied, digest};

    #[tokio::test]
    async fn all_of_an_answer_passes_and_what_is_short_is_kept() {
        let short = vec![b'x'; LONGEST_ANSWER];
        let long = vec![b'x'; LONGEST_ANSWER + 1];
        for (answer, expected) in [(short.clone(), Copied::Whole(short)), (long, Copied::Long)] {
            let (pass, mut passed) = mpsc::channel(16);
            assert_eq!(copied(Body::from(answer.clone()), &pass).await, expected);
            assert_eq!(passed.recv().await.unwrap().unwrap(), answer);
        }
        let pieces = [Ok(Bytes::from("a")), Err(Error::new("cut"))];
        let (pass, _passed) = mpsc::channel(16);
        let cut = copied(Body::from_stream(stream::iter(pieces)), &pass).await;
        assert_eq!(cut, Copied::Cut);
    }

    #[test]
    fn calls_are_told_apart() {
        assert_eq!(digest("a", b"b"), digest("a", b"b"));
        assert_ne!(digest("a", b"b"), digest("a", b"c"));
        assert_ne!(digest("a", b"b"), digest("b", b"b"));
    }
}
