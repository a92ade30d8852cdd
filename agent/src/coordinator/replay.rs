//! Fly's replay: the response names a machine, and Fly's proxy sends the request
//! there instead.
//! See <https://fly.io/docs/networking/dynamic-request-routing/>.

use axum::{
    http::{HeaderMap, HeaderName, Method, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{fly::MachineId, token::REPLAY_FAILED};

/// Makes the proxy replay the request.
const REPLAY: HeaderName = HeaderName::from_static("fly-replay");
/// Bodies of so many bytes are not replayed. The documents say "larger than 1MB"
/// in one place and 10 MB in another.
const MAX_BODY: u64 = 1_000_000;
/// How long the proxy tries to reach the machine, which is ready by now.
const TIMEOUT: &str = "10s";

/// The response that has a request replayed on a machine, with a token for it.
pub(super) fn replay_to(app: &str, machine: &MachineId, token: &str) -> Response {
    let replay =
        format!("app={app};instance={machine};timeout={TIMEOUT};fallback=force_self;state={token}");
    let message = format!(
        "this request is for machine {machine}, where Fly's proxy would replay it, but there is no such proxy between caller and coordinator: call the coordinator by its flycast address\n"
    );
    (StatusCode::CONFLICT, [(REPLAY, replay)], message).into_response()
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
