//! The cookie of pages: a ticket for this server, as long as it runs, and for half
//! a day. It is not the token: what else listens on this host gets the cookie, too.

use std::{fmt, sync::Arc};

use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode, get_current_timestamp,
};
use rand::random;
use serde::{Deserialize, Serialize};

/// The beginning of the cookie's name. The rest is the server's own: browsers send
/// the cookies of a host to all of its ports.
const COOKIE: &str = "agent_ticket_";
/// How long a ticket is valid, in seconds. Each page brings a new one.
const LIFETIME: u64 = 12 * 3600;

/// Makes tickets, and verifies them, with a key that only this process has.
#[derive(Clone)]
pub(super) struct Tickets(Arc<Inner>);

struct Inner {
    name: String,
    sign: EncodingKey,
    verify: DecodingKey,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    exp: u64,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Tickets")
    }
}

impl Tickets {
    pub(super) fn new() -> Self {
        let key: [u8; 32] = random();
        Self(Arc::new(Inner {
            name: format!("{COOKIE}{:08x}", random::<u32>()),
            sign: EncodingKey::from_secret(&key),
            verify: DecodingKey::from_secret(&key),
        }))
    }

    /// The `Set-Cookie` value of a new ticket.
    pub(super) fn cookie(&self) -> String {
        let claims = Claims {
            exp: get_current_timestamp() + LIFETIME,
        };
        let ticket = encode(&Header::new(Algorithm::HS256), &claims, &self.0.sign);
        let ticket = ticket.expect("an HMAC key signs any claims");
        let name = &self.0.name;
        format!("{name}={ticket}; HttpOnly; SameSite=Strict; Path=/")
    }

    /// Whether a `Cookie` header has a ticket of this server.
    pub(super) fn is_in(&self, cookies: &str) -> bool {
        let mut own = cookies
            .split("; ")
            .filter_map(|cookie| cookie.strip_prefix(self.0.name.as_str())?.strip_prefix('='));
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        own.any(|ticket| decode::<Claims>(ticket, &self.0.verify, &validation).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::Tickets;

    #[test]
    fn a_ticket_is_for_the_server_that_made_it() {
        let (one, other) = (Tickets::new(), Tickets::new());
        let cookie = one.cookie();
        let (pair, attributes) = cookie.split_once("; ").unwrap();
        assert_eq!(attributes, "HttpOnly; SameSite=Strict; Path=/");
        assert!(one.is_in(&format!("a=b; {pair}")));
        assert!(!other.is_in(pair));
        let (name, ticket) = pair.split_once('=').unwrap();
        assert!(!other.is_in(&format!("{}={ticket}", other.0.name)));
        for broken in [String::new(), format!("{name}="), format!("{name}=a.b.c")] {
            assert!(!one.is_in(&broken), "{broken}");
        }
    }
}
