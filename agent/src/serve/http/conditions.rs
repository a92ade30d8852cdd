//! Conditions on a request (RFC 9110 §13), for what has an entity tag and no
//! date.

use axum::http::{HeaderMap, HeaderName, StatusCode, header};

/// What is answered instead, where a condition does not hold.
pub(super) fn precondition(headers: &HeaderMap, tag: &str) -> Option<StatusCode> {
    let strong = |given: &str| given == tag;
    let weak = |given: &str| given.trim_start_matches("W/") == tag;
    if listed(headers, header::IF_MATCH, strong) == Some(false) {
        return Some(StatusCode::PRECONDITION_FAILED);
    }
    let known = listed(headers, header::IF_NONE_MATCH, weak);
    (known == Some(true)).then_some(StatusCode::NOT_MODIFIED)
}

/// The range that is asked for, unless it is of something else.
pub(super) fn range<'a>(headers: &'a HeaderMap, tag: &str) -> Option<&'a str> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let is_same = text(header::IF_RANGE).is_none_or(|given| given == tag);
    text(header::RANGE).filter(|_| is_same)
}

/// Whether one of the listed tags is ours; nothing where none is listed.
fn listed(headers: &HeaderMap, name: HeaderName, is_ours: impl Fn(&str) -> bool) -> Option<bool> {
    let mut values = headers.get_all(name).iter().peekable();
    values.peek()?;
    let texts = values.map(|value| value.to_str().unwrap_or_default());
    let mut tags = texts.flat_map(|text| text.split(',')).map(str::trim);
    Some(tags.any(|given| given == "*" || is_ours(given)))
}
