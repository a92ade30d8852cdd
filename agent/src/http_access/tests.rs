use axum::http::{HeaderMap, HeaderName, header};
use base64::{Engine, prelude::BASE64_STANDARD};

use super::{Access, Admission, TokenHash};
use crate::token::{
    GrantError, GrantKey, Grants, REPLAY_SOURCE,
    tests::{PRIVATE, PUBLIC},
};

fn access() -> Access {
    Access {
        hosts: vec!["app.flycast".to_owned()],
        origins: vec!["https://app.example".to_owned()],
        grants: Some(Grants::new(PUBLIC, "m1", "t1").unwrap()),
        ..Access::new(TokenHash::of("secret"))
    }
}

const REFUSED: Admission = Admission::Refused(None);

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
fn origins_are_our_own_or_allowed_and_not_another_port_of_loopback() {
    for origin in ["http://app.flycast:80", "https://app.example"] {
        assert!(access().knows_origin(origin, "app.flycast:80"), "{origin}");
    }
    for origin in [
        "null",
        "",
        "http://evil.example",
        "https://app.example.evil",
        "http://localhost.evil",
        "http://localhost:3",
        "http://127.0.0.1:80",
        "http://[::1]:80",
    ] {
        assert!(!access().knows_origin(origin, "app.flycast:80"), "{origin}");
    }
    assert!(!access().knows_origin("http://127.0.0.1:31337", "127.0.0.1:8080"));
    assert!(access().knows_origin("http://127.0.0.1:8080", "127.0.0.1:8080"));
}

#[test]
fn the_token_comes_in_two_ways_and_a_ticket_in_a_cookie() {
    let access = access();
    let with = |name, value: String| {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        access.admits(&headers, None) == Admission::Header
    };
    let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
    assert!(with(header::AUTHORIZATION, "Bearer secret".into()));
    assert!(with(header::AUTHORIZATION, basic("me:secret")));
    assert!(!with(header::AUTHORIZATION, "Bearer Secret".into()));
    assert!(!with(header::AUTHORIZATION, basic("secret")));
    let hash = TokenHash::of("secret").to_string();
    assert!(!with(header::AUTHORIZATION, format!("Bearer {hash}")));
    let cookie = access.cookie();
    assert!(!cookie.contains("secret"), "{cookie}");
    let (ticket, _) = cookie.split_once(';').unwrap();
    assert!(with(header::COOKIE, format!("a=b; {ticket}")));
    assert!(!with(header::COOKIE, "agent_token=secret".into()));
    assert_eq!(access.admits(&HeaderMap::new(), None), REFUSED);
}

#[test]
fn a_token_comes_in_a_url_only_where_one_was_made_for_that() {
    let (made, token) = Access::with_new_token();
    let query = format!("follow=1&token={token}");
    let none = HeaderMap::new();
    assert_eq!(made.admits(&none, Some(&query)), Admission::Url);
    assert_eq!(made.admits(&none, Some("token=")), REFUSED);
    assert_eq!(access().admits(&none, Some("token=secret")), REFUSED);
}

#[test]
fn a_grant_is_accepted_and_a_wrong_one_named() {
    let key = GrantKey::from_pem(PRIVATE).unwrap();
    let with = |machine, task| {
        let grant = key.grant(machine, task);
        let source = format!("instance=c1;region=x;t=1;state={grant}");
        let header = (
            HeaderName::from_static(REPLAY_SOURCE),
            source.parse().unwrap(),
        );
        access().admits(&HeaderMap::from_iter([header]), None)
    };
    assert_eq!(with("m1", "t1"), Admission::Header);
    let refused = |error| Admission::Refused(Some(error));
    assert_eq!(with("m2", "t1"), refused(GrantError::Machine));
    assert_eq!(with("m1", "t2"), refused(GrantError::Task));
}
