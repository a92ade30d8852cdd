//! Who may call: the Host must be ours (or DNS could be made to point at us),
//! a browser's Origin too (`WebSockets` are not bound by CORS), and the token
//! must be known.

use std::{net::IpAddr, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header, uri::Authority},
    middleware::Next,
    response::{AppendHeaders, IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use subtle::ConstantTimeEq;

use crate::token::{Grants, SOURCE, state_of};

/// The cookie that pages get, so that their `WebSocket`s are let in.
const COOKIE: &str = "agent_token";

/// Who may call.
#[derive(Debug, Default)]
pub struct Access {
    /// Who knows it may do everything; without one, everybody who reaches us may.
    pub token: Option<String>,
    /// Names that this server is called by, besides localhost and addresses.
    pub hosts: Vec<String>,
    /// Pages of other origins that may call.
    pub origins: Vec<String>,
    /// The machine that this is, and the leaves of a coordinator to call it.
    pub granted: Option<(String, Grants)>,
}

impl Access {
    /// A Host that is an address cannot be rebound: only names are checked.
    fn knows_host(&self, authority: &str) -> bool {
        let Ok(authority) = authority.parse::<Authority>() else {
            return false;
        };
        let host = authority.host();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let ours = || self.hosts.iter().any(|own| own.eq_ignore_ascii_case(host));
        host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok() || ours()
    }

    /// Its own pages, those of loopback, and those that are allowed.
    fn knows_origin(&self, origin: &str, host: &str) -> bool {
        if self.origins.iter().any(|known| known == origin) {
            return true;
        }
        let Some((_, authority)) = origin.split_once("://") else {
            return false;
        };
        let is_loopback = authority.parse::<Authority>().is_ok_and(|authority| {
            let bare = authority
                .host()
                .trim_start_matches('[')
                .trim_end_matches(']');
            bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        });
        authority == host || is_loopback
    }

    /// Why a request is not for us.
    fn refusal(&self, headers: &HeaderMap) -> Option<&'static str> {
        let header = |name| headers.get(name).map(|value| value.to_str().unwrap_or(""));
        let host = header(header::HOST).unwrap_or_default();
        if !self.knows_host(host) {
            return Some("this server is not known by that Host: see --allow-host\n");
        }
        let foreign = header(header::ORIGIN).is_some_and(|origin| !self.knows_origin(origin, host));
        foreign.then_some("pages of that Origin may not call: see --allow-origin\n")
    }

    /// Whether a coordinator has let the request in, and had it replayed here.
    fn is_granted(&self, headers: &HeaderMap) -> bool {
        let Some((machine, grants)) = &self.granted else {
            return false;
        };
        let source = headers.get(SOURCE).and_then(|value| value.to_str().ok());
        let leave = source.and_then(state_of);
        leave.is_some_and(|leave| grants.admits(machine, leave))
    }

    fn knows_token(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else {
            return true;
        };
        if self.is_granted(headers) {
            return true;
        }
        // A browser may still have the cookie of an earlier token: any will do.
        Self::given(headers).any(|given| bool::from(token.as_bytes().ct_eq(&given)))
    }

    /// What a request gives as tokens: in cookies, and as a bearer's or a password.
    fn given(headers: &HeaderMap) -> impl Iterator<Item = Vec<u8>> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let cookies = text(header::COOKIE).unwrap_or_default().split("; ");
        let cookies = cookies.filter_map(|cookie| cookie.strip_prefix(COOKIE)?.strip_prefix('='));
        let authorization = text(header::AUTHORIZATION).and_then(|value| value.split_once(' '));
        let authorized = authorization.and_then(|(scheme, given)| {
            if scheme.eq_ignore_ascii_case("bearer") {
                return Some(given.as_bytes().to_vec());
            }
            let decoded = BASE64_STANDARD.decode(given).ok()?;
            let is_basic = scheme.eq_ignore_ascii_case("basic");
            let mut parts = decoded.splitn(2, |byte| *byte == b':');
            parts.nth(1).filter(|_| is_basic).map(<[u8]>::to_vec)
        });
        cookies
            .map(|given| given.as_bytes().to_vec())
            .chain(authorized)
    }

    /// What makes a browser send the token with all that a page asks for.
    pub(super) fn cookie(&self) -> Option<String> {
        let token = self.token.as_ref()?;
        Some(format!(
            "{COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/"
        ))
    }
}

/// Lets in what was sent to us, by a page of ours or by no page.
pub(crate) async fn from_here(
    State(access): State<Arc<Access>>,
    request: Request<Body>,
    next: Next,
) -> Response {
    match access.refusal(request.headers()) {
        Some(told) => (StatusCode::FORBIDDEN, told).into_response(),
        None => next.run(request).await,
    }
}

/// Lets in who knows the token.
pub(crate) async fn with_token(
    State(access): State<Arc<Access>>,
    request: Request<Body>,
    next: Next,
) -> Response {
    if access.knows_token(request.headers()) {
        return next.run(request).await;
    }
    // One header each: Chromium takes a list for one scheme that it does not know.
    let challenge = ["Bearer", "Basic realm=\"agent\""];
    let challenge = AppendHeaders(challenge.map(|scheme| (header::WWW_AUTHENTICATE, scheme)));
    let told = "a token is needed: Authorization: Bearer TOKEN\n";
    (StatusCode::UNAUTHORIZED, challenge, told).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, header};
    use base64::{Engine, prelude::BASE64_STANDARD};

    use super::Access;
    use crate::token::{Grants, SOURCE};

    fn access() -> Access {
        Access {
            token: Some("secret".to_owned()),
            hosts: vec!["app.flycast".to_owned()],
            origins: vec!["https://app.example".to_owned()],
            granted: Some(("m1".to_owned(), Grants::new("0123456789abcdef"))),
        }
    }

    #[test]
    fn hosts_are_ours_or_addresses() {
        for host in [
            "localhost:1",
            "127.0.0.1:80",
            "[::1]:80",
            "[fdaa::3]:80",
            "10.0.0.1",
            "APP.flycast",
        ] {
            assert!(access().knows_host(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "app.flycast.evil:80",
            "a b",
        ] {
            assert!(!access().knows_host(host), "{host}");
        }
    }

    #[test]
    fn origins_are_ours_or_allowed() {
        for origin in [
            "http://app.flycast:80",
            "http://localhost:3",
            "https://app.example",
        ] {
            assert!(access().knows_origin(origin, "app.flycast:80"), "{origin}");
        }
        for origin in [
            "null",
            "",
            "http://evil.example",
            "https://app.example.evil",
            "http://localhost.evil",
        ] {
            assert!(!access().knows_origin(origin, "app.flycast:80"), "{origin}");
        }
    }

    #[test]
    fn the_token_comes_in_three_ways() {
        let with = |name, value: String| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            access().knows_token(&headers)
        };
        let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
        assert!(with(header::AUTHORIZATION, "Bearer secret".into()));
        assert!(with(header::AUTHORIZATION, basic("me:secret")));
        assert!(with(header::COOKIE, "a=b; agent_token=secret".into()));
        assert!(!with(header::AUTHORIZATION, "Bearer Secret".into()));
        assert!(!with(header::AUTHORIZATION, basic("secret")));
        assert!(!with(header::COOKIE, "agent_token=".into()));
        let mut both = HeaderMap::new();
        both.insert(header::COOKIE, "agent_token=old".parse().unwrap());
        assert!(!access().knows_token(&both));
        both.insert(header::AUTHORIZATION, basic("me:secret").parse().unwrap());
        assert!(access().knows_token(&both), "a browser after a new token");
        assert!(!access().knows_token(&HeaderMap::new()));
        assert!(Access::default().knows_token(&HeaderMap::new()));
    }

    #[test]
    fn a_coordinators_leave_lets_in() {
        let with = |key: &str, machine: &str| {
            let leave = Grants::new(key).issue(machine);
            let source = format!("instance=c1;region=x;t=1;state={leave}");
            let headers = [(
                axum::http::HeaderName::from_static(SOURCE),
                source.parse().unwrap(),
            )];
            access().knows_token(&HeaderMap::from_iter(headers))
        };
        assert!(with("0123456789abcdef", "m1"));
        assert!(
            !with("0123456789abcdef", "m2"),
            "a leave for another machine"
        );
        assert!(!with("another key here", "m1"));
    }
}
