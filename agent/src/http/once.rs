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
use tokio::sync::{mpsc, watch};

use super::{LONGEST_BODY, carried::SESSION};

/// So many calls are remembered.
const REMEMBERED: usize = 64;
/// A longer answer is not kept; no tool of ours has one.
const LONGEST_ANSWER: usize = 1 << 20;

/// A call: its session and all that it says.
type Call = (String, Bytes);
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
    fn enter(&self, call: &Call) -> Result<watch::Receiver<Answer>, watch::Sender<Answer>> {
        let mut calls = self.0.lock().expect("nothing panics with it");
        // One that failed is forgotten: its sender is gone, and has told nothing.
        calls.retain(|(_, answer)| answer.borrow().is_some() || answer.has_changed().is_ok());
        if let Some((_, answer)) = calls.iter().find(|(known, _)| known == call) {
            return Ok(answer.clone());
        }
        let (tell, answer) = watch::channel(None);
        calls.push_back((call.clone(), answer));
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
    match calls.enter(&(session, bytes)) {
        Ok(answer) => known(answer).await,
        Err(tell) => {
            // It goes on when the caller goes away: he may come back.
            let done = tokio::spawn(async move { keep(next.run(request).await, tell) });
            let failed = |_| StatusCode::INTERNAL_SERVER_ERROR.into_response();
            done.await.unwrap_or_else(failed)
        }
    }
}

fn is_tool_call(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Message>(bytes).is_ok_and(|message| {
        message.id.is_some() && message.method.as_deref() == Some("tools/call")
    })
}

async fn known(mut answer: watch::Receiver<Answer>) -> Response {
    let told = answer.wait_for(Option::is_some).await;
    let told = told.ok().and_then(|answer| answer.clone());
    let Some((status, headers, bytes)) = told else {
        let told = "this call was made before, and its answer was not kept\n";
        return (StatusCode::CONFLICT, told).into_response();
    };
    (status, headers, bytes).into_response()
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
        if let Some(copy) = copied(body, &pass).await {
            tell.send_replace(Some((status, headers, copy.into())));
        }
    });
    let pieces = stream::unfold(passed, async |mut passed| {
        Some((passed.recv().await?, passed))
    });
    Response::from_parts(parts, Body::from_stream(pieces))
}

/// Sends a body on, and comes back with all of it, if it was whole.
async fn copied(body: Body, pass: &mpsc::Sender<Result<Bytes, Error>>) -> Option<Vec<u8>> {
    let (mut pieces, mut copy) = (body.into_data_stream(), Vec::new());
    while let Some(piece) = pieces.next().await {
        match piece {
            Ok(piece) if copy.len() + piece.len() <= LONGEST_ANSWER => {
                copy.extend_from_slice(&piece);
                // The caller may be gone; the copy is for when he comes back.
                let _passed = pass.send(Ok(piece)).await;
            }
            cut => {
                let cut = cut.and_then(|_| Err(Error::new("the answer is too long")));
                let _passed = pass.send(cut).await;
                return None;
            }
        }
    }
    Some(copy)
}
