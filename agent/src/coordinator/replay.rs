//! Fly's replay: we answer with the name of a machine, and the proxy sends
//! the request there instead.
//! See <https://fly.io/docs/networking/dynamic-request-routing/>.

use axum::{
    http::{HeaderMap, HeaderName, Method, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::fly::MachineId;

/// What the proxy replays by.
const REPLAY: HeaderName = HeaderName::from_static("fly-replay");
/// What a request carries whose replay has failed: it may not be replayed again.
const FAILED: HeaderName = HeaderName::from_static("fly-replay-failed");
/// The documents say "larger than 1MB" in one place and 10 MB in another.
const LONGEST_BODY: u64 = 1_000_000;
/// How long the proxy tries to reach a machine that was ready just now.
const TIMEOUT: &str = "10s";

/// The answer that sends a request to a machine.
pub(super) fn to(app: &str, machine: &MachineId, token: &str) -> Response {
    let replay =
        format!("app={app};instance={machine};timeout={TIMEOUT};fallback=force_self;state={token}");
    let told = format!(
        "this is for machine {machine}: Fly's proxy replays it there. There is no such proxy between us.\n"
    );
    (StatusCode::CONFLICT, [(REPLAY, replay)], told).into_response()
}

/// Whether its replay has failed already.
pub(super) fn has_failed(headers: &HeaderMap) -> bool {
    headers.contains_key(FAILED)
}

/// Whether the proxy can send it a second time: only if it has kept all of it.
pub(super) fn can_be_replayed(method: &Method, headers: &HeaderMap) -> bool {
    if has_failed(headers) {
        return false;
    }
    let length = headers.get(header::CONTENT_LENGTH);
    match length.map(|value| value.to_str().unwrap_or("").parse::<u64>()) {
        Some(Ok(length)) => length < LONGEST_BODY,
        Some(Err(_)) => false,
        None => {
            let has_no_body = matches!(
                *method,
                Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS
            );
            has_no_body && !headers.contains_key(header::TRANSFER_ENCODING)
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, Method};

    use super::can_be_replayed;

    fn given(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), value.parse().unwrap())
        };
        pairs.iter().map(header).collect()
    }

    #[test]
    fn what_the_proxy_keeps_is_replayed() {
        for (method, headers, expected) in [
            (Method::GET, given(&[]), true),
            (Method::DELETE, given(&[]), true),
            (Method::POST, given(&[("content-length", "999999")]), true),
            (Method::POST, given(&[("content-length", "1000000")]), false),
            (Method::POST, given(&[("content-length", "many")]), false),
            (Method::POST, given(&[]), false),
            (
                Method::POST,
                given(&[("transfer-encoding", "chunked")]),
                false,
            ),
            (
                Method::GET,
                given(&[("transfer-encoding", "chunked")]),
                false,
            ),
            (
                Method::GET,
                given(&[("fly-replay-failed", "instance=x")]),
                false,
            ),
        ] {
            assert_eq!(
                can_be_replayed(&method, &headers),
                expected,
                "{method} {headers:?}"
            );
        }
    }
}
