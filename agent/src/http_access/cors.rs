//! Cross-origin requests of the pages that `--allow-origin` names (Fetch
//! standard, "HTTP CORS protocol"). Other pages' browsers get none of these
//! headers, and keep what a server answers from them.

use axum::{
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};

/// How long a browser may remember the answer to a preflight, in seconds.
const MAX_AGE: &str = "600";
const METHODS: &str = "GET, POST, DELETE, OPTIONS";
/// The headers of responses that a page may read: of MCP sessions, of ranges,
/// and how to authenticate.
const EXPOSED: &str = "mcp-session-id, mcp-protocol-version, content-range, accept-ranges, \
    www-authenticate, agent-run, agent-offset, agent-length, agent-terminal-size";

/// The answer to a preflight request, which has no token; none to any other
/// request.
pub(super) fn preflight(method: &Method, headers: &HeaderMap) -> Option<Response> {
    let asks = headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    (method == Method::OPTIONS && asks).then(|| {
        let mut response = StatusCode::NO_CONTENT.into_response();
        let answer = response.headers_mut();
        let methods = HeaderValue::from_static(METHODS);
        answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        // Which headers a request may have is for the routes to say.
        if let Some(asked) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
            answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
        let age = HeaderValue::from_static(MAX_AGE);
        answer.insert(header::ACCESS_CONTROL_MAX_AGE, age);
        response
    })
}

/// Lets the page of `origin` read a response.
pub(super) fn allow(origin: HeaderValue, response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    let exposed = HeaderValue::from_static(EXPOSED);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
}
