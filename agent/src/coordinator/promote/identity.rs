//! The identity tokens that Fly issues to machines.
//! See <https://fly.io/docs/security/openid-connect/>.

use std::{sync::Mutex, time::Duration};

use anyhow::{Context, Result};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    jwk::{Jwk, JwkSet},
};
use reqwest::{Client, Url, redirect::Policy};
use serde::{Deserialize, de::DeserializeOwned};
use thiserror::Error;
use tokio::time::Instant;

use crate::fly::{MachineId, causes};

/// The audience that a token must be issued for.
const AUDIENCE: &str = "agent-promotion";
/// The issuer's keys are fetched at most this often.
const FETCH_INTERVAL: Duration = Duration::from_secs(10);
/// How long the issuer may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// How many seconds the issuer's clock and ours may differ.
const LEEWAY: u64 = 30;

/// Why a token is not accepted.
#[derive(Debug, Error)]
pub(super) enum IdentityError {
    #[error("the identity token is not valid: {0}")]
    Token(#[from] jsonwebtoken::errors::Error),
    #[error("the identity token is signed with a key that {0} does not publish")]
    UnknownKey(String),
    #[error("cannot fetch the keys of {0}: {1}")]
    Issuer(String, String),
}

/// The claims of a token.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Identity {
    pub(super) app_name: String,
    pub(super) machine_id: MachineId,
    pub(super) image_digest: String,
    /// When it was issued, in seconds since 1970.
    pub(super) iat: u64,
}

#[derive(Deserialize)]
struct Discovery {
    jwks_uri: String,
}

/// An issuer of identity tokens.
#[derive(Debug)]
pub(super) struct Issuer {
    http: Client,
    /// The `iss` of its tokens, without a slash at the end.
    url: String,
    /// The same, parsed.
    origin: Url,
    keys: Mutex<Option<(Instant, JwkSet)>>,
}

impl Issuer {
    pub(super) fn new(url: &str) -> Result<Self> {
        let http = Client::builder()
            .redirect(Policy::none())
            .timeout(FETCH_TIMEOUT);
        let origin = Url::parse(url).with_context(|| format!("the issuer {url} is not a URL"))?;
        Ok(Self {
            http: http.build()?,
            origin,
            url: url.trim_end_matches('/').to_owned(),
            keys: Mutex::default(),
        })
    }

    /// The claims of a token, if the issuer signed it, it is for our audience, and
    /// it is valid now.
    pub(super) async fn verify(&self, token: &str) -> Result<Identity, IdentityError> {
        let header = decode_header(token)?;
        let unknown = || IdentityError::UnknownKey(self.url.clone());
        let key = self.key(&header.kid.ok_or_else(unknown)?).await?;
        let key = DecodingKey::from_jwk(&key.ok_or_else(unknown)?)?;
        // Never the algorithm that the token names.
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_issuer(&[&self.url]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        validation.leeway = LEEWAY;
        Ok(decode(token, &key, &validation)?.claims)
    }

    async fn key(&self, id: &str) -> Result<Option<Jwk>, IdentityError> {
        if let Some((since, keys)) = self.cached()
            && (keys.find(id).is_some() || since.elapsed() < FETCH_INTERVAL)
        {
            return Ok(keys.find(id).cloned());
        }
        let keys = self.fetch().await?;
        let found = keys.find(id).cloned();
        *self.keys.lock().expect("no holder of the lock panics") = Some((Instant::now(), keys));
        Ok(found)
    }

    fn cached(&self) -> Option<(Instant, JwkSet)> {
        self.keys
            .lock()
            .expect("no holder of the lock panics")
            .clone()
    }

    async fn fetch(&self) -> Result<JwkSet, IdentityError> {
        let discovery = format!("{}/.well-known/openid-configuration", self.url);
        let Discovery { jwks_uri } = self.get(&discovery).await?;
        // A discovery document must not make us call other hosts.
        if !has_origin(&jwks_uri, &self.origin) {
            let reason = format!("its keys are at another origin, {jwks_uri}");
            return Err(IdentityError::Issuer(self.url.clone(), reason));
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

fn has_origin(url: &str, origin: &Url) -> bool {
    Url::parse(url).is_ok_and(|url| url.origin() == origin.origin())
}

#[cfg(test)]
mod tests {
    use reqwest::Url;

    use super::has_origin;

    #[test]
    fn keys_must_be_at_the_issuers_origin() {
        let issuer = Url::parse("https://oidc.fly.io/org").unwrap();
        for url in ["https://oidc.fly.io/keys", "https://OIDC.fly.io:443/"] {
            assert!(has_origin(url, &issuer), "{url}");
        }
        for url in [
            "http://oidc.fly.io/keys",
            "https://oidc.fly.io.example/keys",
            "https://oidc.fly.io@example/keys",
            "https://oidc.fly.io:444/keys",
            "/keys",
        ] {
            assert!(!has_origin(url, &issuer), "{url}");
        }
    }
}
