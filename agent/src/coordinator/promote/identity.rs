//! Who a machine is: the identity tokens that Fly makes for machines.
//! See <https://fly.io/docs/security/openid-connect/>.

use std::{sync::Mutex, time::Duration};

use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    jwk::{Jwk, JwkSet},
};
use reqwest::{Client, redirect::Policy};
use serde::{Deserialize, de::DeserializeOwned};
use thiserror::Error;
use tokio::time::Instant;

use crate::fly::{MachineId, causes};

/// Whom a token must be meant for.
const AUDIENCE: &str = "agent-promotion";
/// The issuer's keys are asked for again at most so often.
const FRESH: Duration = Duration::from_secs(10);
/// How long the issuer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// How far its clock and ours may be apart.
const LEEWAY: u64 = 30;

/// Why a token does not count.
#[derive(Debug, Error)]
pub(super) enum IdentityError {
    #[error("the identity token does not count: {0}")]
    Token(#[from] jsonwebtoken::errors::Error),
    #[error("the identity token is signed with a key that {0} does not have")]
    UnknownKey(String),
    #[error("cannot ask {0} for its keys: {1}")]
    Issuer(String, String),
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Identity {
    pub(super) app_name: String,
    pub(super) machine_id: MachineId,
    pub(super) image_digest: String,
    /// When it was made, in seconds since 1970.
    pub(super) iat: u64,
}

#[derive(Deserialize)]
struct Discovery {
    jwks_uri: String,
}

/// Whose tokens count.
#[derive(Debug)]
pub(super) struct Issuer {
    http: Client,
    url: String,
    keys: Mutex<Option<(Instant, JwkSet)>>,
}

impl Issuer {
    pub(super) fn new(url: &str) -> Result<Self, reqwest::Error> {
        let http = Client::builder().redirect(Policy::none()).timeout(ANSWER);
        Ok(Self {
            http: http.build()?,
            url: url.trim_end_matches('/').to_owned(),
            keys: Mutex::default(),
        })
    }

    /// What a token says, if it is the issuer's, for us, and of now.
    pub(super) async fn verify(&self, token: &str) -> Result<Identity, IdentityError> {
        let header = decode_header(token)?;
        let unknown = || IdentityError::UnknownKey(self.url.clone());
        let key = self.key(&header.kid.ok_or_else(unknown)?).await?;
        let key = DecodingKey::from_jwk(&key.ok_or_else(unknown)?)?;
        // Not the token's own word for it.
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_issuer(&[&self.url]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY;
        Ok(decode(token, &key, &validation)?.claims)
    }

    async fn key(&self, id: &str) -> Result<Option<Jwk>, IdentityError> {
        if let Some((since, keys)) = self.known()
            && (keys.find(id).is_some() || since.elapsed() < FRESH)
        {
            return Ok(keys.find(id).cloned());
        }
        let keys = self.fetch().await?;
        let found = keys.find(id).cloned();
        let mut known = self.keys.lock().expect("nothing panics with it");
        *known = Some((Instant::now(), keys));
        Ok(found)
    }

    fn known(&self) -> Option<(Instant, JwkSet)> {
        self.keys.lock().expect("nothing panics with it").clone()
    }

    async fn fetch(&self) -> Result<JwkSet, IdentityError> {
        let discovery = format!("{}/.well-known/openid-configuration", self.url);
        let Discovery { jwks_uri } = self.get(&discovery).await?;
        // The issuer's word is not a leave to ask others.
        if !jwks_uri.starts_with(&origin(&self.url)) {
            let told = format!("it sends us to {jwks_uri}");
            return Err(IdentityError::Issuer(self.url.clone(), told));
        }
        self.get(&jwks_uri).await
    }

    async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T, IdentityError> {
        let answer = self.http.get(url).send().await;
        let answer = answer.and_then(reqwest::Response::error_for_status);
        let read = match answer {
            Ok(answer) => answer.json().await,
            Err(error) => Err(error),
        };
        read.map_err(|error| IdentityError::Issuer(self.url.clone(), causes(&error)))
    }
}

/// Scheme and authority of a URL, with the slash that ends them.
fn origin(url: &str) -> String {
    let mut parts = url.splitn(4, '/');
    let (scheme, authority) = (parts.next(), parts.nth(1));
    format!("{}//{}/", scheme.unwrap_or(""), authority.unwrap_or(""))
}

#[cfg(test)]
mod tests {
    use super::origin;

    #[test]
    fn an_origin_ends_where_the_path_begins() {
        assert_eq!(origin("https://oidc.fly.io/org"), "https://oidc.fly.io/");
        assert_eq!(origin("http://127.0.0.1:1"), "http://127.0.0.1:1/");
    }
}
