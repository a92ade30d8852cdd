//! A request that cannot be replayed is forwarded: as a stream, in both
//! directions.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};

use super::agents::{AgentAddress, Agents};
use crate::fly::causes;

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

/// The beginning of the names of the platform's own headers.
const PLATFORM: &str = "fly-";
/// What an agent may not have a browser do in our name.
const NOT_AN_AGENTS: [HeaderName; 6] = [
    header::SET_COOKIE,
    header::REFRESH,
    header::LOCATION,
    HeaderName::from_static("clear-site-data"),
    HeaderName::from_static("service-worker-allowed"),
    header::STRICT_TRANSPORT_SECURITY,
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

/// What a caller shows to us, and an agent must not see: the grant suffices there.
pub(super) const CREDENTIALS: [HeaderName; 2] = [header::AUTHORIZATION, header::COOKIE];

/// The caller's headers, without those of its connection to us, without its
/// credentials, and without those by which proxy and coordinator vouch for a request.
fn request_headers(parts: &Parts) -> HeaderMap {
    let mut headers = end_to_end(&parts.headers);
    headers.remove(header::HOST);
    for name in CREDENTIALS {
        headers.remove(name);
    }
    without_platform(headers)
}

/// Headers without Fly's own: by them its proxy would do for an agent what it does
/// for us, as replay a request elsewhere.
fn without_platform(headers: HeaderMap) -> HeaderMap {
    let all = headers.into_iter().scan(None, |last, (name, value)| {
        // The name is given once for all values of it.
        *last = name.or_else(|| last.take());
        Some((last.clone()?, value))
    });
    all.filter(|(name, _)| !name.as_str().starts_with(PLATFORM))
        .fold(HeaderMap::new(), |mut kept, (name, value)| {
            kept.append(name, value);
            kept
        })
}

/// An agent's headers for the caller: no cookie of ours is an agent's to set, and what
/// a browser makes of the body is no page of ours.
fn response_headers(upstream: &HeaderMap) -> HeaderMap {
    let mut headers = without_platform(end_to_end(upstream));
    for name in NOT_AN_AGENTS {
        headers.remove(name);
    }
    let sandbox = HeaderValue::from_static("sandbox; default-src 'none'; frame-ancestors 'none'");
    headers.insert(header::CONTENT_SECURITY_POLICY, sandbox);
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
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
    let (status, headers) = (upstream.status(), response_headers(upstream.headers()));
    let mut response = Response::new(Body::from_stream(upstream.bytes_stream()));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn unavailable(message: &str) -> Response {
    let retry = [(header::RETRY_AFTER, "2")];
    (StatusCode::SERVICE_UNAVAILABLE, retry, message.to_owned()).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, Request};

    use super::{request_headers, response_headers};

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), value.parse().unwrap())
        };
        let mut headers = HeaderMap::new();
        for (name, value) in pairs.iter().map(header) {
            headers.append(name, value);
        }
        headers
    }

    #[test]
    fn an_agent_sees_no_credentials() {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.headers = headers(&[
            ("authorization", "Bearer t"),
            ("cookie", "a=b"),
            ("fly-replay-src", "instance=x"),
            ("host", "coord.flycast"),
            ("accept", "a/b"),
            ("accept", "c/d"),
        ]);
        let kept = headers(&[("accept", "a/b"), ("accept", "c/d")]);
        assert_eq!(request_headers(&parts), kept);
    }

    #[test]
    fn an_agent_commands_neither_the_proxy_nor_the_browser() {
        let answer = headers(&[
            ("fly-replay", "app=evil"),
            ("fly-replay-cache", "x"),
            ("set-cookie", "a=b"),
            ("location", "http://evil.example"),
            ("content-type", "text/html"),
            ("content-security-policy", "script-src *"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
        ]);
        let got = response_headers(&answer);
        assert_eq!(got["content-type"], "text/html");
        assert!(
            got["content-security-policy"]
                .to_str()
                .unwrap()
                .starts_with("sandbox;")
        );
        assert_eq!(got["x-content-type-options"], "nosniff");
        assert_eq!(got.len(), 3, "{got:?}");
    }
}
