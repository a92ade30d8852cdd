//! Access control of the HTTP servers: a request must name a Host of ours (or
//! DNS rebinding could lead a browser here), a browser's Origin must be allowed
//! (the same-origin policy does not cover `WebSocket`s), and the caller must
//! present the token.

mod cors;

use std::{net::IpAddr, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header, uri::Authority},
    middleware::Next,
    response::{AppendHeaders, IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use subtle::ConstantTimeEq;

use crate::token::{MachineTokens, REPLAY_SOURCE, state_of};

/// The cookie that pages get, so that their `WebSocket`s are let in.
const COOKIE: &str = "agent_token";

/// Who may call a server.
#[derive(Debug, Default)]
pub struct Access {
    /// The token that callers must present; without one, every caller is let in.
    pub token: Option<String>,
    /// Host names of this server, besides `localhost` and IP addresses.
    pub hosts: Vec<String>,
    /// Origins whose pages may call, besides this server's own and loopback.
    pub origins: Vec<String>,
    /// The id of this machine, and the machine tokens that are accepted for it
    /// in place of the token.
    pub machine: Option<(String, MachineTokens)>,
}

impl Access {
    /// Whether a Host header names this server. An IP address cannot be
    /// rebound: only names are checked.
    fn knows_host(&self, authority: &str) -> bool {
        let Ok(authority) = authority.parse::<Authority>() else {
            return false;
        };
        let host = authority.host();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let ours = || self.hosts.iter().any(|own| own.eq_ignore_ascii_case(host));
        host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok() || ours()
    }

    /// Whether pages of `origin` may call: this server's own, those of loopback,
    /// and those that are configured.
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

    /// The Origin of a request whose pages are allowed by name.
    fn configured_origin<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        let known = |configured: &String| origin == configured.as_str();
        self.origins.iter().any(known).then_some(origin)
    }

    /// Why a request is refused for its Host or Origin.
    fn refusal(&self, headers: &HeaderMap) -> Option<&'static str> {
        let host = headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        let Some(host) = host.filter(|host| self.knows_host(host)) else {
            return Some("this server is not known by that Host: see --allow-host\n");
        };
        let foreign = headers.get(header::ORIGIN).is_some_and(|origin| {
            !origin
                .to_str()
                .is_ok_and(|origin| self.knows_origin(origin, host))
        });
        foreign.then_some("pages of that Origin may not call: see --allow-origin\n")
    }

    /// Whether the request was replayed here with a machine token.
    fn has_machine_token(&self, headers: &HeaderMap) -> bool {
        let Some((machine, tokens)) = &self.machine else {
            return false;
        };
        let source = headers.get(REPLAY_SOURCE);
        let token = source.and_then(|value| state_of(value.to_str().ok()?));
        token.is_some_and(|token| tokens.verify(machine, token))
    }

    fn knows_token(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else {
            return true;
        };
        if self.has_machine_token(headers) {
            return true;
        }
        // A browser may still send the cookie of an earlier token: any match will do.
        Self::presented(headers).any(|presented| bool::from(token.as_bytes().ct_eq(&presented)))
    }

    /// The tokens that a request presents: in cookies, as a bearer token, or as
    /// the password of basic authentication.
    fn presented(headers: &HeaderMap) -> impl Iterator<Item = Vec<u8>> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let cookies = text(header::COOKIE).into_iter();
        let cookies = cookies.flat_map(|cookies| cookies.split("; "));
        let cookies = cookies.filter_map(|cookie| cookie.strip_prefix(COOKIE)?.strip_prefix('='));
        let authorization = text(header::AUTHORIZATION).and_then(|value| value.split_once(' '));
        let authorized = authorization.and_then(|(scheme, credentials)| {
            if scheme.eq_ignore_ascii_case("bearer") {
                return Some(credentials.as_bytes().to_vec());
            }
            let decoded = BASE64_STANDARD.decode(credentials).ok()?;
            let is_basic = scheme.eq_ignore_ascii_case("basic");
            let mut parts = decoded.splitn(2, |byte| *byte == b':');
            parts.nth(1).filter(|_| is_basic).map(<[u8]>::to_vec)
        });
        cookies
            .map(|cookie| cookie.as_bytes().to_vec())
            .chain(authorized)
    }

    /// The `Set-Cookie` value that makes a browser send the token with every
    /// request of a page.
    pub(crate) fn cookie(&self) -> Option<String> {
        let token = self.token.as_ref()?;
        Some(format!(
            "{COOKIE}={token}; HttpOnly; SameSite=Strict; Path=/"
        ))
    }
}

/// Middleware: lets a request pass whose Host is ours and whose Origin, if it
/// has one, is allowed; answers 403 otherwise. Pages of the origins that are
/// configured may read the responses, and get their preflights answered.
pub(crate) async fn require_known_host(
    State(access): State<Arc<Access>>,
    request: Request<Body>,
    next: Next,
) -> Response {
    if let Some(reason) = access.refusal(request.headers()) {
        return (StatusCode::FORBIDDEN, reason).into_response();
    }
    let Some(origin) = access.configured_origin(request.headers()).cloned() else {
        return next.run(request).await;
    };
    let preflight = cors::preflight(request.method(), request.headers());
    let mut response = match preflight {
        Some(response) => response,
        None => next.run(request).await,
    };
    cors::allow(origin, &mut response);
    response
}

/// Middleware: lets a request pass that presents the token; answers 401
/// otherwise.
pub(crate) async fn require_token(
    State(access): State<Arc<Access>>,
    request: Request<Body>,
    next: Next,
) -> Response {
    if access.knows_token(request.headers()) {
        return next.run(request).await;
    }
    // One header for each scheme: Chromium takes a list for one unknown scheme.
    let challenge = ["Bearer", "Basic realm=\"agent\""];
    let challenge = AppendHeaders(challenge.map(|scheme| (header::WWW_AUTHENTICATE, scheme)));
    let message = "a token is needed: Authorization: Bearer TOKEN\n";
    (StatusCode::UNAUTHORIZED, challenge, message).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, header};
    use base64::{Engine, prelude::BASE64_STANDARD};

    use super::Access;
    use crate::token::{MachineTokens, REPLAY_SOURCE};

    fn access() -> Access {
        Access {
            token: Some("secret".to_owned()),
            hosts: vec!["app.flycast".to_owned()],
            origins: vec!["https://app.example".to_owned()],
            machine: Some(("m1".to_owned(), MachineTokens::new("0123456789abcdef"))),
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
    fn a_machine_token_is_accepted() {
        let with = |key: &str, machine: &str| {
            let token = MachineTokens::new(key).issue(machine);
            let source = format!("instance=c1;region=x;t=1;state={token}");
            let headers = [(
                axum::http::HeaderName::from_static(REPLAY_SOURCE),
                source.parse().unwrap(),
            )];
            access().knows_token(&HeaderMap::from_iter(headers))
        };
        assert!(with("0123456789abcdef", "m1"));
        assert!(
            !with("0123456789abcdef", "m2"),
            "a token for another machine"
        );
        assert!(!with("another key here", "m1"));
    }
}
