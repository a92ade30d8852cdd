//! MCP sessions whose ids begin with the machine that they are on, so that a
//! coordinator can send each request to the one that has the session in its
//! memory: `<machine>.<session>`.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderName, HeaderValue, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
};

/// An MCP session's id.
pub(super) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

/// Puts the machine before the ids that go out, and takes it off those that
/// come in.
pub(super) async fn carried(
    State(machine): State<Option<Arc<str>>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(machine) = machine else {
        return next.run(request).await;
    };
    if let Some(given) = request.headers_mut().get_mut(SESSION) {
        match own(&machine, given) {
            Some(session) => *given = session,
            None => return (StatusCode::NOT_FOUND, ENDED).into_response(),
        }
    }
    let mut response = next.run(request).await;
    if let Some(session) = response.headers_mut().get_mut(SESSION)
        && let Some(whole) = whole(&machine, session)
    {
        *session = whole;
    }
    response
}

const ENDED: &str = "that session is not on this machine: initialize a new one\n";

fn own(machine: &str, given: &HeaderValue) -> Option<HeaderValue> {
    let session = given.to_str().ok()?.strip_prefix(machine)?;
    session.strip_prefix('.')?.parse().ok()
}

fn whole(machine: &str, session: &HeaderValue) -> Option<HeaderValue> {
    format!("{machine}.{}", session.to_str().ok()?).parse().ok()
}
