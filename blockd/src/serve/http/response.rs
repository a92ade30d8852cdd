//! The answers of the site.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue,
        REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    },
};

/// An answer, whole.
pub(super) type Answer = Response<Full<Bytes>>;

/// What every answer says: nobody keeps it, nothing in it is run, loaded or framed.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
    ),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// An answer of a media type.
pub(super) fn of_type(media_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::from(body));
    let headers = answer.headers_mut();
    headers.extend(HEADERS);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}

/// Plain text.
pub(super) fn text(status: StatusCode, text: impl Into<String>) -> Answer {
    let mut answer = of_type("text/plain; charset=utf-8", text.into());
    *answer.status_mut() = status;
    answer
}
