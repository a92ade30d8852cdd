//! Grants: short-lived JSON Web Tokens (RFC 7519), each good for calls to one
//! machine while it works for one task. The coordinator signs one for each
//! request, Fly's proxy passes it on as the `state` of a replay, and the agent
//! verifies it.
//!
//! The signature is Ed25519 (RFC 8037): the private key is the coordinator's
//! alone. What an agent's machine has verifies grants, and makes none.

use std::fmt;

use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
    errors::ErrorKind, get_current_timestamp,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How long a grant is valid, in seconds: longer than a replay takes, and
/// short enough that one which leaks is soon useless.
const LIFETIME: u64 = 60;
/// How many seconds the clocks of two machines may differ.
const LEEWAY: u64 = 30;
const AUDIENCE: &str = "agent";
/// What the claims mean. Those of 1, which had no such field, named no task, and
/// were signed with a key that every agent had.
const VERSION: u32 = 2;

/// The header in which Fly's proxy describes where a replayed request comes
/// from, and passes on its `state`.
pub const REPLAY_SOURCE: &str = "fly-replay-src";

/// The header by which Fly's proxy marks a request whose replay has failed.
pub const REPLAY_FAILED: &str = "fly-replay-failed";

/// Why a text is no key for grants.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// It is not a private key.
    #[error("it is no private key of Ed25519 in PEM: openssl genpkey -algorithm ed25519 makes one")]
    NotPrivate,
    /// It is not a public key.
    #[error(
        "it is no public key of Ed25519 in PEM, which agents get of the coordinator's: openssl pkey -pubout"
    )]
    NotPublic,
    /// It is the private key, which an agent's machine must not have.
    #[error(
        "it is a private key, which only the coordinator may have: give its public half, openssl pkey -pubout"
    )]
    Private,
}

/// Why a grant is refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum GrantError {
    /// It is of the last release.
    #[error(
        "the grant is of an earlier release, signed with a key that all agents have: update the coordinator"
    )]
    Old,
    /// It is of a later release.
    #[error("the grant is of version {0}, and this agent knows {VERSION}: update the agent")]
    Newer(u32),
    /// Its signature or its form is not ours.
    #[error("the grant was not signed by the coordinator whose public key this agent has")]
    Forged,
    /// Its time is over.
    #[error("the grant has expired")]
    Expired,
    /// It is for another machine.
    #[error("the grant is for another machine")]
    Machine,
    /// It is for another task of this machine.
    #[error("the grant is for another task than the one that this machine works for")]
    Task,
}

/// What a grant says.
#[derive(Serialize, Deserialize)]
struct Claims {
    #[serde(default)]
    v: u32,
    sub: String,
    aud: String,
    exp: u64,
    /// The name of the task, empty for a machine without one.
    #[serde(default)]
    task: String,
}

/// The coordinator's key, which signs grants.
#[derive(Clone)]
pub struct GrantKey(EncodingKey);

impl fmt::Debug for GrantKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the key.
        formatter.write_str("GrantKey")
    }
}

impl GrantKey {
    /// The private key in a text of PEM.
    ///
    /// # Errors
    ///
    /// When there is none, or none of Ed25519.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let key = EncodingKey::from_ed_pem(pem.as_bytes()).map_err(|_| KeyError::NotPrivate)?;
        let claims = claims("", "");
        // Only its use shows whether the key can be used.
        let signed = encode(&Header::new(Algorithm::EdDSA), &claims, &key);
        signed.map(|_| Self(key)).map_err(|_| KeyError::NotPrivate)
    }

    /// Signs a grant for calls to `machine` while it works for `task`, valid for a
    /// minute. It consists of ASCII letters, digits, `-`, `_` and `.`.
    #[expect(clippy::missing_panics_doc, reason = "any claims can be signed")]
    pub fn grant(&self, machine: &str, task: &str) -> String {
        encode(
            &Header::new(Algorithm::EdDSA),
            &claims(machine, task),
            &self.0,
        )
        .expect("the key has signed before")
    }
}

fn claims(machine: &str, task: &str) -> Claims {
    Claims {
        v: VERSION,
        sub: machine.to_owned(),
        aud: AUDIENCE.to_owned(),
        exp: get_current_timestamp() + LIFETIME,
        task: task.to_owned(),
    }
}

/// Which grants an agent accepts: those for its machine and its task.
#[derive(Clone)]
pub struct Grants {
    key: DecodingKey,
    machine: String,
    task: String,
}

impl fmt::Debug for Grants {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Grants({}, {:?})", self.machine, self.task)
    }
}

impl Grants {
    /// Grants for `machine` and `task` (empty for none), verified with the public key
    /// in a text of PEM.
    ///
    /// # Errors
    ///
    /// When there is none, or a private one.
    pub fn new(pem: &str, machine: &str, task: &str) -> Result<Self, KeyError> {
        if pem.contains("PRIVATE KEY") {
            return Err(KeyError::Private);
        }
        let key = DecodingKey::from_ed_pem(pem.as_bytes()).map_err(|_| KeyError::NotPublic)?;
        Ok(Self {
            key,
            machine: machine.to_owned(),
            task: task.to_owned(),
        })
    }

    /// Checks that a grant is valid now, for this machine and this task.
    ///
    /// # Errors
    ///
    /// Why it is not.
    pub fn check(&self, grant: &str) -> Result<(), GrantError> {
        let header = decode_header(grant).map_err(|_| GrantError::Forged)?;
        if header.alg == Algorithm::HS256 {
            return Err(GrantError::Old);
        }
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "aud", "sub"]);
        validation.leeway = LEEWAY;
        let decoded = decode::<Claims>(grant, &self.key, &validation);
        let claims = decoded.map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature => GrantError::Expired,
            _ => GrantError::Forged,
        })?;
        let Claims { v, sub, task, .. } = claims.claims;
        match v {
            VERSION if sub != self.machine => Err(GrantError::Machine),
            VERSION if task != self.task => Err(GrantError::Task),
            VERSION => Ok(()),
            0 | 1 => Err(GrantError::Old),
            newer => Err(GrantError::Newer(newer)),
        }
    }
}

/// The `state` in the value of a [`REPLAY_SOURCE`] header. Fly's documentation
/// separates its fields with semicolons, the example there with commas.
pub fn state_of(source: &str) -> Option<&str> {
    let mut fields = source.split([';', ',']);
    fields.find_map(|field| field.trim().strip_prefix("state="))
}

#[cfg(test)]
pub(crate) mod tests {
    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
    use serde_json::json;

    use super::{GrantError, GrantKey, Grants, KeyError, state_of};

    /// A key for tests alone, and its public half: `openssl genpkey -algorithm ed25519`.
    pub(crate) const PRIVATE: &str = include_str!("../tests/keys/grant.pem");
    pub(crate) const PUBLIC: &str = include_str!("../tests/keys/grant-public.pem");
    const OTHER: &str = include_str!("../tests/keys/other.pem");

    fn grants(machine: &str, task: &str) -> Grants {
        Grants::new(PUBLIC, machine, task).unwrap()
    }

    #[test]
    fn a_grant_is_for_one_machine_and_one_task_and_of_one_key() {
        let grant = GrantKey::from_pem(PRIVATE).unwrap().grant("m1", "t1");
        assert_eq!(grants("m1", "t1").check(&grant), Ok(()));
        assert_eq!(grants("m2", "t1").check(&grant), Err(GrantError::Machine));
        for task in ["t2", ""] {
            assert_eq!(grants("m1", task).check(&grant), Err(GrantError::Task));
        }
        for broken in ["", "a.b.c", &grant[..grant.len() - 2]] {
            assert_eq!(grants("m1", "t1").check(broken), Err(GrantError::Forged));
        }
        let other = GrantKey::from_pem(OTHER).unwrap().grant("m1", "t1");
        assert_eq!(grants("m1", "t1").check(&other), Err(GrantError::Forged));
        let safe = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        assert!(grant.chars().all(safe), "{grant}");
    }

    #[test]
    fn what_an_agent_has_makes_no_grant() {
        assert_eq!(
            GrantKey::from_pem(PUBLIC).unwrap_err(),
            KeyError::NotPrivate
        );
        // The public half as the key of an HMAC, the old trick.
        let claims = json!({ "v": 2, "sub": "m1", "aud": "agent", "task": "t1",
            "exp": get_current_timestamp() + 60 });
        let key = EncodingKey::from_secret(PUBLIC.as_bytes());
        let forged = encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
        assert_eq!(grants("m1", "t1").check(&forged), Err(GrantError::Old));
        // {"alg":"none"}
        let none =
            "eyJhbGciOiJub25lIn0.eyJzdWIiOiJtMSIsImF1ZCI6ImFnZW50IiwiZXhwIjo5OTk5OTk5OTk5OX0.";
        assert_eq!(grants("m1", "t1").check(none), Err(GrantError::Forged));
    }

    #[test]
    fn grants_of_other_versions_and_times_are_told_apart() {
        let sign = |claims| {
            let key = EncodingKey::from_ed_pem(PRIVATE.as_bytes()).unwrap();
            encode(&Header::new(Algorithm::EdDSA), &claims, &key).unwrap()
        };
        let soon = get_current_timestamp() + 60;
        for (version, outcome) in [
            (json!(1), GrantError::Old),
            (json!(3), GrantError::Newer(3)),
        ] {
            let grant = sign(json!({ "v": version, "sub": "m1", "aud": "agent", "exp": soon }));
            assert_eq!(grants("m1", "").check(&grant), Err(outcome));
        }
        let past = get_current_timestamp() - 100;
        let late = sign(json!({ "v": 2, "sub": "m1", "aud": "agent", "exp": past }));
        assert_eq!(grants("m1", "").check(&late), Err(GrantError::Expired));
        let other = sign(json!({ "v": 2, "sub": "m1", "aud": "promote", "exp": soon }));
        assert_eq!(grants("m1", "").check(&other), Err(GrantError::Forged));
    }

    #[test]
    fn an_agent_takes_neither_the_private_key_nor_a_shared_one() {
        for (pem, expected) in [
            (PRIVATE, KeyError::Private),
            ("0123456789abcdef", KeyError::NotPublic),
        ] {
            assert_eq!(Grants::new(pem, "m1", "").unwrap_err(), expected);
        }
        assert_eq!(
            GrantKey::from_pem("0123456789abcdef").unwrap_err(),
            KeyError::NotPrivate
        );
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
