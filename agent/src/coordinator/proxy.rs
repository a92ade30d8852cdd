//! A request that cannot be replayed is forwarded: as a stream, in both
//! directions.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};

use super::agents::{AgentAddress, Agents};
use crate::{fly::causes, token::REPLAY_SOURCE};

/// Headers that hold for one connection only (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Forwards a request to an agent, and its response back.
pub(super) async fn forward(agents: &Agents, agent: &AgentAddress, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if parts.headers.contains_key(header::UPGRADE) {
        return unavailable("an upgraded connection can be replayed, but not forwarded\n");
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let forwarded = agents
        .request(agent, parts.method.clone(), path)
        .headers(request_headers(&parts));
    // An empty body must not become a chunked one.
    let forwarded = if is_empty(&parts.headers) {
        forwarded
    } else {
        forwarded.body(reqwest::Body::wrap_stream(body.into_data_stream()))
    };
    match forwarded.send().await {
        Ok(response) => response_from(response),
        Err(error) => unavailable(&format!(
            "machine {} does not answer: {}\n",
            agent.machine,
            causes(&error)
        )),
    }
}

fn is_empty(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH);
    let has_no_length = length.is_none_or(|value| value == "0");
    has_no_length && !headers.contains_key(header::TRANSFER_ENCODING)
}

/// The caller's headers, without those of its connection to us, and without the
/// one by which proxy and coordinator vouch for a request.
fn request_headers(parts: &Parts) -> HeaderMap {
    let mut headers = end_to_end(&parts.headers);
    headers.remove(header::HOST);
    headers.remove(REPLAY_SOURCE);
    headers
}

fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let named = headers.get_all(header::CONNECTION).iter();
    // A value that is not ASCII names no header.
    let named = named.filter_map(|value| value.to_str().ok());
    let named: Vec<_> = named
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let is_hop_by_hop = |name: &HeaderName| {
        HOP_BY_HOP.contains(name) || named.iter().any(|named| named == name.as_str())
    };
    let end_to_end = headers.iter().filter(|(name, _)| !is_hop_by_hop(name));
    let mut copy = HeaderMap::new();
    for (name, value) in end_to_end {
        copy.append(name, value.clone());
    }
    copy
}

fn response_from(upstream: reqwest::Response) -> Response {
    let (status, headers) = (upstream.status(), end_to_end(upstream.headers()));
    let mut response = Response::new(Body::from_stream(upstream.bytes_stream()));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn unavailable(message: &str) -> Response {
    let retry = [(header::RETRY_AFTER, "2")];
    (StatusCode::SERVICE_UNAVAILABLE, retry, message.to_owned()).into_response()
}
