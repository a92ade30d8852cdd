//! The issuer of identity tokens: its keys, and the tokens that a machine's socket
//! hands out.

use std::{net::SocketAddr, sync::Arc};

use aws_lc_rs::{
    encoding::AsDer,
    rsa::{KeyPair, KeySize, PublicKeyComponents},
    signature::KeyPair as _,
};
use axum::{Json, Router, routing::get};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::Record;

/// The audience of tokens for a promotion.
pub(crate) const AUDIENCE: &str = "agent-promotion";

pub(super) struct Issuer {
    address: SocketAddr,
    key: EncodingKey,
    keys: Arc<Value>,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Issuer")
    }
}

impl Issuer {
    pub(super) fn new(address: SocketAddr) -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let public: PublicKeyComponents<Vec<u8>> = pair.public_key().into();
        let number = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let keys = json!({ "keys": [{
            "kty": "RSA", "alg": "RS256", "use": "sig", "kid": "k1",
            "n": number(&public.n), "e": number(&public.e),
        }] });
        let der = pkcs1(pair.as_der().unwrap().as_ref());
        Self {
            address,
            key: EncodingKey::from_rsa_der(&der),
            keys: Arc::new(keys),
        }
    }

    /// An issuer that claims to be this one, without its key.
    pub(super) fn forger(&self) -> Self {
        Self::new(self.address)
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/org", self.address)
    }

    pub(super) fn router(&self) -> Router {
        let (keys, address) = (Arc::clone(&self.keys), self.address);
        let discovery = json!({ "jwks_uri": format!("http://{address}/org/keys") });
        Router::new()
            .route(
                "/org/.well-known/openid-configuration",
                get(async move || Json(discovery.clone())),
            )
            .route("/org/keys", get(async move || Json(Value::clone(&keys))))
    }

    /// A token for a machine, with the claims of Fly's tokens.
    pub(super) fn token(
        &self,
        machine: &Record,
        audience: &str,
        (age, lifetime): (i64, i64),
    ) -> String {
        let now = i64::try_from(jsonwebtoken::get_current_timestamp()).unwrap() - age;
        let shown = machine.shown(&super::STRICT);
        let claims = json!({
            "iss": self.url(),
            "aud": audience,
            "sub": format!("org:{}:{}", machine.app, machine.name),
            "iat": now, "nbf": now, "exp": now + lifetime,
            "app_name": machine.app,
            "machine_id": machine.id,
            "machine_name": machine.name,
            "image_digest": shown["image_ref"]["digest"],
            "region": "iad",
        });
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some("k1".into());
        encode(&header, &claims, &self.key).unwrap()
    }
}

/// The PKCS #1 key in a PKCS #8 document: sequence, version, algorithm, octets.
fn pkcs1(pkcs8: &[u8]) -> Vec<u8> {
    let start = pkcs8
        .windows(2)
        .skip(4)
        .position(|pair| pair == [0x30, 0x82])
        .unwrap()
        + 4;
    pkcs8[start..].to_vec()
}
