//! The response to a request for a machine in whose place there is another.

use axum::{
    extract::Request,
    http::{HeaderName, Method, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::fly::MachineId;

/// Headers and parameters by which a reader goes on in a log that he has begun.
const CONTINUES: [HeaderName; 2] = [header::RANGE, HeaderName::from_static("last-event-id")];
const OFFSET: &str = "offset=";

/// The redirection of a reader to the new machine, or why it cannot be read on
/// there. `None` for what the new machine can do in place of the old one: a
/// command, an MCP client that initializes a session, a terminal.
pub(super) fn response(request: &Request, old: &MachineId, new: &MachineId) -> Option<Response> {
    let (path, headers) = (request.uri().path(), request.headers());
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if !reads || path == "/mcp" || headers.contains_key(header::UPGRADE) {
        return None;
    }
    let query = request.uri().query().unwrap_or_default();
    let continues = CONTINUES.iter().any(|name| headers.contains_key(name))
        || query.split('&').any(|pair| pair.starts_with(OFFSET))
        || path.starts_with("/live/runs/");
    let message = format!(
        "machine {old} is lost, and what it has written with it; machine {new} has taken its place: {path}?machine={new}\n"
    );
    let location = moved(path, query, old, new).filter(|_| !continues);
    let Some(location) = location else {
        return Some((StatusCode::GONE, message).into_response());
    };
    let headers = [(header::LOCATION, location)];
    Some((StatusCode::TEMPORARY_REDIRECT, headers, message).into_response())
}

/// The same path and query with the new machine; `None` if the query does not name
/// the old one.
fn moved(path: &str, query: &str, old: &MachineId, new: &MachineId) -> Option<String> {
    let named = format!("machine={old}");
    let pairs: Vec<_> = query.split('&').collect();
    let nth = pairs.iter().position(|pair| *pair == named)?;
    let mut moved: Vec<_> = pairs.into_iter().map(str::to_owned).collect();
    moved[nth] = format!("machine={new}");
    Some(format!("{path}?{}", moved.join("&")))
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, extract::Request, http::header};

    use super::response;

    fn answer(method: &str, uri: &str, headers: &[(&str, &str)]) -> Option<(u16, String)> {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let (old, new) = ("m1".parse().unwrap(), "m2".parse().unwrap());
        let response = response(&request, &old, &new)?;
        let location = response.headers().get(header::LOCATION);
        let location = location.map_or("", |location| location.to_str().unwrap());
        Some((response.status().as_u16(), location.to_owned()))
    }

    #[test]
    fn readers_are_redirected_and_the_rest_goes_on() {
        for (uri, location) in [
            ("/?machine=m1", "/?machine=m2"),
            ("/live?follow=1&machine=m1", "/live?follow=1&machine=m2"),
            ("/status?machine=m1&x=m1", "/status?machine=m2&x=m1"),
        ] {
            let expected = Some((307, location.to_owned()));
            assert_eq!(answer("GET", uri, &[]), expected, "{uri}");
        }
        for (method, uri, headers) in [
            ("POST", "/stop?machine=m1", &[][..]),
            ("GET", "/mcp?machine=m1", &[]),
            ("GET", "/terminal?machine=m1", &[("upgrade", "websocket")]),
        ] {
            assert_eq!(answer(method, uri, headers), None, "{method} {uri}");
        }
    }

    #[test]
    fn nobody_reads_on_in_the_log_of_another_machine() {
        for (uri, headers) in [
            ("/live?machine=m1&offset=7", &[][..]),
            ("/live/runs/1?machine=m1", &[]),
            ("/live?machine=m1", &[("range", "bytes=5-")]),
            ("/live", &[("agent-machine", "m1")]),
        ] {
            let expected = Some((410, String::new()));
            assert_eq!(answer("GET", uri, headers), expected, "{uri}");
        }
    }
}
