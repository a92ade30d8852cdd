//! Conditional requests (RFC 9110 §13) for a resource that has an entity tag
//! and no date.

use axum::http::{HeaderMap, HeaderName, StatusCode, header};

/// The status to answer with if a precondition does not hold.
pub(super) fn precondition(headers: &HeaderMap, tag: &str) -> Option<StatusCode> {
    let strong = |given: &[u8]| given == tag.as_bytes();
    let weak = |given: &[u8]| strong(given.strip_prefix(b"W/").unwrap_or(given));
    if any_listed(headers, header::IF_MATCH, strong) == Some(false) {
        return Some(StatusCode::PRECONDITION_FAILED);
    }
    let known = any_listed(headers, header::IF_NONE_MATCH, weak);
    (known == Some(true)).then_some(StatusCode::NOT_MODIFIED)
}

/// The Range header, unless an If-Range header names another entity tag. A
/// value that is not ASCII is no range, and ignored as the RFC says.
pub(super) fn range<'a>(headers: &'a HeaderMap, tag: &str) -> Option<&'a str> {
    let condition = headers.get(header::IF_RANGE);
    let is_same = condition.is_none_or(|given| given == tag);
    let range = headers.get(header::RANGE).filter(|_| is_same);
    range.and_then(|range| range.to_str().ok())
}

/// Whether any of the entity tags in a header matches; none without the header.
fn any_listed(
    headers: &HeaderMap,
    name: HeaderName,
    matches: impl Fn(&[u8]) -> bool,
) -> Option<bool> {
    let mut values = headers.get_all(name).iter().peekable();
    values.peek()?;
    let mut tags = values
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii);
    Some(tags.any(|given| given == b"*" || matches(given)))
}
