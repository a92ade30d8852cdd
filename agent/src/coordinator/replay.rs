//! Fly's replay: the response names a machine, and Fly's proxy sends the request
//! there instead.
//! See <https://fly.io/docs/networking/dynamic-request-routing/>.

use axum::{
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};

use serde_json::json;

use super::proxy::CREDENTIALS;
use crate::{fly::MachineId, token::REPLAY_FAILED};

/// A response of this type makes the proxy replay the request as it says.
const REPLAY: &str = "application/vnd.fly.replay+json";
/// Bodies of so many bytes are not replayed. The documents say "larger than 1MB"
/// in one place and 10 MB in another.
const MAX_BODY: u64 = 1_000_000;
/// How long the proxy tries to reach the machine, which is ready by now.
const TIMEOUT: &str = "10s";

const NO_PROXY: &str = "299 coordinator \"there is no such proxy between you and the coordinator as would replay this on the machine: call the coordinator by its flycast address\"";

/// The response that has a request replayed on a machine, with a grant for it and
/// without the caller's credentials.
pub(super) fn replay_to(app: &str, machine: &MachineId, grant: &str) -> Response {
    let deleted = CREDENTIALS.map(|name| name.to_string());
    let replay = json!({
        "app": app,
        "instance": machine,
        "state": grant,
        "timeout": TIMEOUT,
        "fallback": "force_self",
        "transform": { "delete_headers": deleted },
    });
    let headers = [
        (header::CONTENT_TYPE, REPLAY),
        // For whoever reads this: the body is the proxy's.
        (header::WARNING, NO_PROXY),
    ];
    (StatusCode::CONFLICT, headers, replay.to_string()).into_response()
}

/// Whether the request was replayed before, in vain: it must not be replayed again.
pub(super) fn has_failed(headers: &HeaderMap) -> bool {
    headers.contains_key(REPLAY_FAILED)
}

/// Whether the proxy can send the request a second time, which takes a body that
/// it has buffered.
pub(super) fn can_be_replayed(method: &Method, headers: &HeaderMap) -> bool {
    if has_failed(headers) {
        return false;
    }
    if let Some(value) = headers.get(header::CONTENT_LENGTH) {
        let length = value.to_str().map(str::parse::<u64>);
        return matches!(length, Ok(Ok(length)) if length < MAX_BODY);
    }
    let has_no_body = matches!(
        *method,
        Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS
    );
    has_no_body && !headers.contains_key(header::TRANSFER_ENCODING)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, Method};

    use super::can_be_replayed;

    fn with(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), value.parse().unwrap())
        };
        pairs.iter().map(header).collect()
    }

    #[test]
    fn a_request_with_a_small_body_of_known_length_is_replayed() {
        for (method, headers, expected) in [
            (Method::GET, with(&[]), true),
            (Method::DELETE, with(&[]), true),
            (Method::POST, with(&[("content-length", "999999")]), true),
            (Method::POST, with(&[("content-length", "1000000")]), false),
            (Method::POST, with(&[("content-length", "many")]), false),
            (Method::POST, with(&[]), false),
            (
                Method::POST,
                with(&[("transfer-encoding", "chunked")]),
                false,
            ),
            (
                Method::GET,
                with(&[("transfer-encoding", "chunked")]),
                false,
            ),
            (
                Method::GET,
                with(&[("fly-replay-failed", "instance=x")]),
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
