//! The end of MCP sessions by their clients.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{Method, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
};
use rmcp::transport::streamable_http_server::SessionId;

use super::{mcp_sessions::McpSessions, session_ids::SESSION};

/// Middleware: a session that its client deletes is gone, which SDKs know by 204;
/// one that does not exist is not found.
pub(super) async fn end_session(
    State(sessions): State<Arc<McpSessions>>,
    request: Request,
    next: Next,
) -> Response {
    let id = request
        .headers()
        .get(SESSION)
        .filter(|_| request.method() == Method::DELETE);
    let Some(id) = id.and_then(|id| id.to_str().ok()).map(SessionId::from) else {
        return next.run(request).await;
    };
    if !sessions.knows(&id).await {
        return (StatusCode::NOT_FOUND, "there is no session of that id\n").into_response();
    }
    let mut response = next.run(request).await;
    if response.status() == StatusCode::ACCEPTED {
        *response.status_mut() = StatusCode::NO_CONTENT;
    }
    response
}
