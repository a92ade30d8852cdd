//! The token of callers, of which a server keeps a hash alone.

use std::fmt;

use rand::random;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The beginning of a hash in a token's file.
const SHA256: &str = "sha256:";

/// SHA-256 of a token: enough to know it by, and nothing to call another server
/// with, should a program on this machine read it.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

impl fmt::Debug for TokenHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TokenHash")
    }
}

impl TokenHash {
    /// The hash of a token.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Makes a token; its hash, and itself, which is to be shown once.
    pub fn of_new() -> (Self, String) {
        let token = format!("{:032x}{:032x}", random::<u128>(), random::<u128>());
        (Self::of(&token), token)
    }

    /// Reads `sha256:` and 64 hexadecimal digits; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(SHA256)?;
        let mut hash = [0; 32];
        if digits.len() != 64 || !digits.is_ascii() {
            return None;
        }
        for (at, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(Self(hash))
    }

    /// Whether it is that of this token, compared in constant time.
    pub(super) fn is_of(&self, token: &[u8]) -> bool {
        let hash: [u8; 32] = Sha256::digest(token).into();
        self.0.ct_eq(&hash).into()
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(SHA256)?;
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::TokenHash;

    #[test]
    fn a_hash_is_read_as_it_is_written() {
        let hash = TokenHash::of("secret");
        assert_eq!(TokenHash::parse(&hash.to_string()), Some(hash.clone()));
        assert!(hash.is_of(b"secret") && !hash.is_of(hash.to_string().as_bytes()));
        for text in ["", "secret", "sha256:", "sha256:é"] {
            assert_eq!(TokenHash::parse(text), None, "{text}");
        }
        let wrong = format!("sha256:{}g", "0".repeat(63));
        assert_eq!(TokenHash::parse(&wrong), None);
    }

    #[test]
    fn a_token_that_was_made_is_long_and_known_by_its_hash() {
        let (hash, token) = TokenHash::of_new();
        assert!(token.len() == 64 && hash.is_of(token.as_bytes()));
        assert_ne!(TokenHash::of_new().1, token);
    }
}
