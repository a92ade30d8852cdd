//! Machine tokens: short-lived JSON Web Tokens (RFC 7519), each good for calls
//! to one machine. The coordinator issues one per request, Fly's proxy passes
//! it on as the `state` of a replay, and the agent verifies it.

use std::fmt;

use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode, get_current_timestamp,
};
use serde::{Deserialize, Serialize};

/// How long a token is valid, in seconds: longer than a replay takes, and
/// short enough that one which leaks is soon useless.
const LIFETIME: u64 = 60;
/// How many seconds the clocks of two machines may differ.
const LEEWAY: u64 = 30;
const AUDIENCE: &str = "agent";

/// The header in which Fly's proxy describes where a replayed request comes
/// from, and passes on its `state`.
pub const REPLAY_SOURCE: &str = "fly-replay-src";

/// The header by which Fly's proxy marks a request whose replay has failed.
pub const REPLAY_FAILED: &str = "fly-replay-failed";

/// Issues and verifies machine tokens with a key that the coordinator and the
/// agents share (HMAC with SHA-256).
#[derive(Clone)]
pub struct MachineTokens {
    sign: EncodingKey,
    verify: DecodingKey,
}

impl fmt::Debug for MachineTokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the key.
        formatter.write_str("MachineTokens")
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    aud: String,
    exp: u64,
}

impl MachineTokens {
    /// Tokens signed with `key`.
    pub fn new(key: &str) -> Self {
        Self {
            sign: EncodingKey::from_secret(key.as_bytes()),
            verify: DecodingKey::from_secret(key.as_bytes()),
        }
    }

    /// Issues a token for calls to `machine`, valid for a minute. It consists of
    /// ASCII letters, digits, `-`, `_` and `.`.
    #[expect(clippy::missing_panics_doc, reason = "any claims can be signed")]
    pub fn issue(&self, machine: &str) -> String {
        let claims = Claims {
            sub: machine.to_owned(),
            aud: AUDIENCE.to_owned(),
            exp: get_current_timestamp() + LIFETIME,
        };
        encode(&Header::new(Algorithm::HS256), &claims, &self.sign)
            .expect("an HMAC key signs any claims")
    }

    /// Whether `token` is valid now and was issued for `machine`.
    pub fn verify(&self, machine: &str, token: &str) -> bool {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "aud", "sub"]);
        validation.leeway = LEEWAY;
        decode::<Claims>(token, &self.verify, &validation)
            .is_ok_and(|token| token.claims.sub == machine)
    }
}

/// The `state` in the value of a [`REPLAY_SOURCE`] header. Fly's documentation
/// separates its fields with semicolons, the example there with commas.
pub fn state_of(source: &str) -> Option<&str> {
    let mut fields = source.split([';', ',']);
    fields.find_map(|field| field.trim().strip_prefix("state="))
}

#[cfg(test)]
mod tests {
    use super::{MachineTokens, state_of};

    #[test]
    fn a_token_is_for_one_machine_and_one_key() {
        let tokens = MachineTokens::new("0123456789abcdef");
        let token = tokens.issue("m1");
        assert!(tokens.verify("m1", &token));
        assert!(!tokens.verify("m2", &token));
        assert!(!tokens.verify("m1", ""));
        assert!(!tokens.verify("m1", &token[..token.len() - 1]));
        assert!(!MachineTokens::new("another key here").verify("m1", &token));
        let safe = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        assert!(token.chars().all(safe), "{token}");
    }

    #[test]
    fn an_unsigned_token_is_not_valid() {
        let tokens = MachineTokens::new("0123456789abcdef");
        // {"alg":"none"} . {"sub":"m1","aud":"agent","exp":99999999999} .
        let none =
            "eyJhbGciOiJub25lIn0.eyJzdWIiOiJtMSIsImF1ZCI6ImFnZW50IiwiZXhwIjo5OTk5OTk5OTk5OX0.";
        assert!(!tokens.verify("m1", none));
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
