//! Keys of tokens: Ed25519, in PEM, as `openssl genpkey -algorithm ed25519` makes
//! them.

use std::{fmt, fs, path::Path};

use anyhow::{Context, Result, anyhow};
use blockd_nbd::token::Token;
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
    errors::ErrorKind,
};

use super::claims::{AUDIENCE, Claims, VERSION};

/// How many seconds the clocks of two machines may differ.
const LEEWAY: u64 = 30;

/// The private half, which signs tokens.
pub struct SigningKey {
    id: String,
    key: EncodingKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the key.
        formatter
            .debug_struct("SigningKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Reads a key from a file; `id` is what the access file calls it.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is no private key of Ed25519.
    pub fn read(path: &Path, id: &str) -> Result<Self> {
        let pem = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let key = EncodingKey::from_ed_pem(&pem).map_err(|error| {
            anyhow!(
                "{} is no private key of Ed25519 in PEM ({error}): openssl genpkey -algorithm \
                 ed25519 makes one",
                path.display()
            )
        })?;
        Ok(Self {
            id: id.to_owned(),
            key,
        })
    }

    /// Signs a token.
    ///
    /// # Errors
    ///
    /// The key cannot sign, or what it signs is longer than a token may be.
    pub fn sign(&self, claims: &Claims) -> Result<Token> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.id.clone());
        let signed = encode(&header, claims, &self.key).context("the key cannot sign")?;
        Ok(signed.parse()?)
    }
}

/// The public half, which verifies them.
#[derive(Clone)]
pub(super) struct VerifyingKey(DecodingKey);

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("VerifyingKey")
    }
}

impl VerifyingKey {
    pub(super) fn from_pem(pem: &str) -> Result<Self> {
        let key = DecodingKey::from_ed_pem(pem.as_bytes());
        key.map(Self).map_err(|error| {
            anyhow!(
                "it is no public key of Ed25519 in PEM ({error}): openssl pkey -pubout prints one"
            )
        })
    }

    /// What a token says that was signed with the other half and has not expired.
    ///
    /// # Errors
    ///
    /// Why it is not valid, for the client. Nothing in it depends on which
    /// repositories there are.
    pub(super) fn verify(&self, token: &Token) -> Result<Claims, &'static str> {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "aud"]);
        validation.leeway = LEEWAY;
        let claims = match decode::<Claims>(token.secret(), &self.0, &validation) {
            Ok(token) => token.claims,
            Err(error) if matches!(error.kind(), ErrorKind::ExpiredSignature) => {
                return Err("the token has expired: ask for a new one");
            }
            Err(_) => return Err(NOT_VALID),
        };
        if claims.ver != VERSION {
            return Err("the token is of a newer release than this server, which cannot read it");
        }
        Ok(claims)
    }
}

pub(super) const NOT_VALID: &str = "the token is not valid here";

/// What the access file calls the key that a token is signed with, as the token says.
pub(super) fn key_of(token: &Token) -> Option<String> {
    decode_header(token.secret()).ok()?.kid
}
