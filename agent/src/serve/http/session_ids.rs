//! MCP session ids that name the machine which has the session in its memory,
//! so that a coordinator can send each request there: `<machine>.<session>`.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
};

/// The header with the id of an MCP session.
pub(super) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

const NOT_HERE: &str = "that session is not on this machine: initialize a new one\n";

/// Middleware: adds the machine to the session ids in responses, and removes it
/// from those in requests. Answers 404 to an id of another machine.
pub(super) async fn name_machine(
    State(machine): State<Option<Arc<str>>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(machine) = machine else {
        return next.run(request).await;
    };
    if let Some(given) = request.headers_mut().get_mut(SESSION) {
        match without_machine(&machine, given) {
            Some(session) => *given = session,
            None => return (StatusCode::NOT_FOUND, NOT_HERE).into_response(),
        }
    }
    let mut response = next.run(request).await;
    if let Some(session) = response.headers_mut().get_mut(SESSION) {
        *session = with_machine(&machine, session);
    }
    response
}

fn without_machine(machine: &str, given: &HeaderValue) -> Option<HeaderValue> {
    let session = given.to_str().ok()?.strip_prefix(machine)?;
    session.strip_prefix('.')?.parse().ok()
}

fn with_machine(machine: &str, session: &HeaderValue) -> HeaderValue {
    let id = [machine.as_bytes(), b".", session.as_bytes()].concat();
    HeaderValue::from_bytes(&id).expect("ids of machines and sessions are ASCII")
}
