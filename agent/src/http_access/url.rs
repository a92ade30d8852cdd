//! A token in the query of a URL: `?token=TOKEN`.

use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};

/// The name of the token in a query.
const TOKEN: &str = "token=";

/// The token in a query.
pub(super) fn token(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix(TOKEN))
}

/// Path and query without a token.
pub(super) fn without_token(uri: &Uri) -> Uri {
    let pairs = uri.query().into_iter().flat_map(|query| query.split('&'));
    let rest: Vec<_> = pairs.filter(|pair| !pair.starts_with(TOKEN)).collect();
    // Two slashes in front would name another host.
    let path = format!("/{}", uri.path().trim_start_matches('/'));
    let uri = if rest.is_empty() {
        path
    } else {
        format!("{path}?{}", rest.join("&"))
    };
    uri.parse().expect("parts of a URI are a URI")
}

/// Whether a person has opened it in a browser, and not a program.
pub(super) fn is_opened_by_a_person(method: &Method, headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).map(HeaderValue::as_bytes);
    let wants_page = accepted.is_some_and(|accept| accept.starts_with(b"text/html"));
    *method == Method::GET && wants_page && !headers.contains_key(header::UPGRADE)
}

#[cfg(test)]
mod tests {
    use super::{token, without_token};

    #[test]
    fn a_token_is_taken_out_of_a_query() {
        for (uri, expected, rest) in [
            ("/?token=a", Some("a"), "/"),
            (
                "/live?offset=1&token=a&follow=1",
                Some("a"),
                "/live?offset=1&follow=1",
            ),
            ("/live?follow=1", None, "/live?follow=1"),
            ("//evil.example/?token=a", Some("a"), "/evil.example/"),
        ] {
            let uri = uri.parse::<axum::http::Uri>().unwrap();
            assert_eq!(token(uri.query().unwrap()), expected, "{uri}");
            assert_eq!(without_token(&uri), rest, "{uri}");
        }
    }
}
