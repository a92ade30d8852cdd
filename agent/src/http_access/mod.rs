//! Access control of the HTTP servers: a request must name a Host of ours (or
//! DNS rebinding could lead a browser here), a browser's Origin must be allowed
//! (the same-origin policy does not cover `WebSocket`s), and the caller must
//! present the token, or what stands for it.

mod cors;
mod same_user;
mod ticket;
mod token;
mod url;

use std::{net::IpAddr, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, uri::Authority},
    middleware::Next,
    response::{AppendHeaders, IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};

pub(crate) use self::same_user::Connection;
use self::ticket::Tickets;
pub use self::token::TokenHash;
use crate::token::{GrantError, Grants, REPLAY_SOURCE, state_of};

/// Who may call a server.
#[derive(Debug, Clone)]
pub struct Access {
    /// The hash of the token that callers must present.
    token: TokenHash,
    /// Whether the token was made for this server alone: it may come in the query of a
    /// URL, and programs of the server's own user need none.
    is_made: bool,
    /// Host names of this server, besides `localhost` and IP addresses.
    pub hosts: Vec<String>,
    /// Origins whose pages may call, besides this server's own.
    pub origins: Vec<String>,
    /// The grants of a coordinator that are accepted in place of the token.
    pub grants: Option<Grants>,
    tickets: Tickets,
}

/// How a request may pass.
#[derive(Debug, PartialEq, Eq)]
enum Admission {
    /// By a header.
    Header,
    /// By the token in its URL.
    Url,
    /// It may not; this is what was wrong with its grant, if it had one.
    Refused(Option<GrantError>),
}

impl Access {
    /// Those may call who present this token.
    pub fn new(token: TokenHash) -> Self {
        Self {
            token,
            is_made: false,
            hosts: Vec::new(),
            origins: Vec::new(),
            grants: None,
            tickets: Tickets::new(),
        }
    }

    /// Makes a token, which may come in a URL; it is to be shown to the user.
    pub fn with_new_token() -> (Self, String) {
        let (hash, token) = TokenHash::of_new();
        let access = Self {
            is_made: true,
            ..Self::new(hash)
        };
        (access, token)
    }

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

    /// Whether pages of `origin` may call: this server's own, and those that are
    /// configured. What else listens on loopback is anybody's.
    fn knows_origin(&self, origin: &str, host: &str) -> bool {
        let own = || {
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
        };
        self.origins.iter().any(|known| known == origin) || own()
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

    /// What becomes of the grant that a request was replayed here with; `None` without.
    fn grant(&self, headers: &HeaderMap) -> Option<Result<(), GrantError>> {
        let source = headers.get(REPLAY_SOURCE)?;
        let grant = state_of(source.to_str().ok()?)?;
        Some(self.grants.as_ref()?.check(grant))
    }

    fn admits(&self, headers: &HeaderMap, query: Option<&str>) -> Admission {
        let granted = self.grant(headers);
        // A browser may still send what was valid before: any match will do.
        let admitted = granted == Some(Ok(()))
            || Self::presented(headers).any(|presented| self.token.is_of(&presented))
            || text(headers, header::COOKIE).is_some_and(|cookies| self.tickets.is_in(cookies));
        if admitted {
            return Admission::Header;
        }
        let in_url = query.filter(|_| self.is_made).and_then(url::token);
        match in_url {
            Some(token) if self.token.is_of(token.as_bytes()) => Admission::Url,
            _ => Admission::Refused(granted.and_then(Result::err)),
        }
    }

    /// Whether a request is of the user who runs this server, and of no page of others.
    /// Such a program could read the token where it was printed.
    fn is_own(&self, headers: &HeaderMap, connection: Option<&Connection>) -> bool {
        let site = text(headers, HeaderName::from_static("sec-fetch-site"));
        let is_foreign = site.is_some_and(|site| !matches!(site, "none" | "same-origin"));
        self.is_made && !is_foreign && connection.is_some_and(Connection::is_of_same_user)
    }

    /// The token that a request presents: as a bearer token, or as the password of
    /// basic authentication.
    fn presented(headers: &HeaderMap) -> impl Iterator<Item = Vec<u8>> {
        let authorization = text(headers, header::AUTHORIZATION);
        let authorization = authorization.and_then(|value| value.split_once(' '));
        let authorized = authorization.and_then(|(scheme, credentials)| {
            if scheme.eq_ignore_ascii_case("bearer") {
                return Some(credentials.as_bytes().to_vec());
            }
            let decoded = BASE64_STANDARD.decode(credentials).ok()?;
            let is_basic = scheme.eq_ignore_ascii_case("basic");
            let mut parts = decoded.splitn(2, |byte| *byte == b':');
            parts.nth(1).filter(|_| is_basic).map(<[u8]>::to_vec)
        });
        authorized.into_iter()
    }

    /// The `Set-Cookie` value of a ticket, which makes a browser's later requests pass.
    pub(crate) fn cookie(&self) -> String {
        self.tickets.cookie()
    }
}

/// A header as text.
fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
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
/// otherwise. A token in the URL of a page is exchanged for a ticket, so that it
/// stays in no address bar.
pub(crate) async fn require_token(
    State(access): State<Arc<Access>>,
    mut request: Request<Body>,
    next: Next,
) -> Response {
    let connection = request.extensions().get::<Connection>();
    match access.admits(request.headers(), request.uri().query()) {
        Admission::Refused(_) if access.is_own(request.headers(), connection) => {
            next.run(request).await
        }
        Admission::Header => next.run(request).await,
        Admission::Url => {
            let uri = url::without_token(request.uri());
            if url::is_opened_by_a_person(request.method(), request.headers()) {
                let location = uri.to_string();
                let headers = [
                    (header::LOCATION, location),
                    (header::SET_COOKIE, access.cookie()),
                ];
                return (StatusCode::SEE_OTHER, AppendHeaders(headers)).into_response();
            }
            *request.uri_mut() = uri;
            next.run(request).await
        }
        Admission::Refused(grant) => unauthorized(grant.as_ref()),
    }
}

fn unauthorized(grant: Option<&GrantError>) -> Response {
    // One header for each scheme: Chromium takes a list for one unknown scheme.
    let challenge = ["Bearer", "Basic realm=\"agent\""];
    let challenge = AppendHeaders(challenge.map(|scheme| (header::WWW_AUTHENTICATE, scheme)));
    let message = match grant {
        Some(error) => format!("{error}\n"),
        None => "a token is needed: Authorization: Bearer TOKEN\n".to_owned(),
    };
    (StatusCode::UNAUTHORIZED, challenge, message).into_response()
}

#[cfg(test)]
mod tests;
