//! What may not be replayed is passed on: as a stream, in both directions.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};

use super::agents::{Agents, Place};
use crate::{fly::causes, token::REPLAY_SOURCE};

/// Between two neighbours only (RFC 9110, 7.6.1).
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

/// Passes a request on to a machine, and its answer back.
pub(super) async fn pass(agents: &Agents, place: &Place, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if parts.headers.contains_key(header::UPGRADE) {
        return unavailable("a connection that changes its protocol can only be replayed\n");
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let passed = agents
        .request(place, parts.method.clone(), path)
        .headers(onwards(&parts));
    // A body that is empty must not become a chunked one.
    let passed = if is_empty(&parts.headers) {
        passed
    } else {
        passed.body(reqwest::Body::wrap_stream(body.into_data_stream()))
    };
    match passed.send().await {
        Ok(answer) => back(answer),
        Err(error) => {
            let told = format!(
                "machine {} does not answer: {}\n",
                place.machine,
                causes(&error)
            );
            unavailable(&told)
        }
    }
}

fn is_empty(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH);
    let is_nothing = length.is_none_or(|value| value == "0");
    is_nothing && !headers.contains_key(header::TRANSFER_ENCODING)
}

/// The caller's headers, without those that are between him and us, and
/// without what only the proxy and we may say.
fn onwards(parts: &Parts) -> HeaderMap {
    let mut headers = end_to_end(&parts.headers);
    headers.remove(header::HOST);
    headers.remove(REPLAY_SOURCE);
    headers
}

fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let named = headers.get_all(header::CONNECTION).iter();
    let named = named.filter_map(|value| value.to_str().ok());
    let named: Vec<_> = named
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let is_between = |name: &HeaderName| {
        HOP_BY_HOP.contains(name) || named.iter().any(|between| between == name.as_str())
    };
    let kept = headers.iter().filter(|(name, _)| !is_between(name));
    let mut copy = HeaderMap::new();
    for (name, value) in kept {
        copy.append(name, value.clone());
    }
    copy
}

fn back(answer: reqwest::Response) -> Response {
    let (status, headers) = (answer.status(), end_to_end(answer.headers()));
    let mut response = Response::new(Body::from_stream(answer.bytes_stream()));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn unavailable(told: &str) -> Response {
    let retry = [(header::RETRY_AFTER, "2")];
    (StatusCode::SERVICE_UNAVAILABLE, retry, told.to_owned()).into_response()
}
