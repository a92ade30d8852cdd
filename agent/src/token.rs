//! A short-lived leave to call one machine: the coordinator makes it, the
//! proxy carries it as the `state` of a replay, the agent checks it.

use std::time::{Duration, SystemTime};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};

/// How long a leave lasts: longer than a replay takes, shorter than a use
/// of one that was overheard.
const LIFETIME: Duration = Duration::from_secs(60);
/// How far two machines' clocks may be apart.
const LEEWAY: u64 = 30;
const AUDIENCE: &str = "agent";

/// What says where a replayed request comes from.
pub const SOURCE: &str = "fly-replay-src";

/// Makes and checks leaves, with a key that coordinator and agents share.
#[derive(Clone)]
pub struct Grants {
    sign: EncodingKey,
    check: DecodingKey,
}

impl std::fmt::Debug for Grants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the key.
        f.write_str("Grants")
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    aud: String,
    exp: u64,
}

impl Grants {
    /// With this key.
    pub fn new(key: &str) -> Self {
        Self {
            sign: EncodingKey::from_secret(key.as_bytes()),
            check: DecodingKey::from_secret(key.as_bytes()),
        }
    }

    /// A leave to call this machine: letters, digits, `-`, `_` and `.`.
    pub fn issue(&self, machine: &str) -> String {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let claims = Claims {
            sub: machine.to_owned(),
            aud: AUDIENCE.to_owned(),
            exp: (now.unwrap_or_default() + LIFETIME).as_secs(),
        };
        // An HMAC of two short texts has nothing that could fail; without a
        // leave the agent refuses.
        encode(&Header::new(Algorithm::HS256), &claims, &self.sign).unwrap_or_default()
    }

    /// Whether it is a leave to call this machine, now.
    pub fn admits(&self, machine: &str, leave: &str) -> bool {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "aud", "sub"]);
        validation.leeway = LEEWAY;
        decode::<Claims>(leave, &self.check, &validation)
            .is_ok_and(|token| token.claims.sub == machine)
    }
}

/// The `state` in a `fly-replay-src`. The documents separate its fields by
/// semicolons, their example by commas.
pub fn state_of(source: &str) -> Option<&str> {
    let mut fields = source.split([';', ',']);
    fields.find_map(|field| field.trim().strip_prefix("state="))
}

#[cfg(test)]
mod tests {
    use super::{Grants, state_of};

    #[test]
    fn a_leave_is_for_one_machine_and_one_key() {
        let ours = Grants::new("0123456789abcdef");
        let leave = ours.issue("m1");
        assert!(ours.admits("m1", &leave));
        assert!(!ours.admits("m2", &leave));
        assert!(!ours.admits("m1", ""));
        assert!(!ours.admits("m1", &leave[..leave.len() - 1]));
        assert!(!Grants::new("another key here").admits("m1", &leave));
        let safe = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        assert!(leave.chars().all(safe), "{leave}");
    }

    #[test]
    fn a_leave_without_an_end_or_signature_is_none() {
        let ours = Grants::new("0123456789abcdef");
        // {"alg":"none"} . {"sub":"m1","aud":"agent","exp":99999999999} .
        let none =
            "eyJhbGciOiJub25lIn0.eyJzdWIiOiJtMSIsImF1ZCI6ImFnZW50IiwiZXhwIjo5OTk5OTk5OTk5OX0.";
        assert!(!ours.admits("m1", none));
    }

    #[test]
    fn the_state_is_found_with_either_separator() {
        assert_eq!(
            state_of("instance=a;region=x;t=1;state=a.b-c"),
            Some("a.b-c")
        );
        assert_eq!(state_of("instance=a, region=x, state=s"), Some("s"));
        assert_eq!(state_of("instance=a;t=1"), None);
    }
}
