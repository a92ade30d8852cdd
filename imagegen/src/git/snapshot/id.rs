//! Snapshot ids.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};

use crate::error::{Error, Kind, Result};

/// Identifies a snapshot by its content: 128 bits of a hash over its manifest.
/// Written as 32 hexadecimal digits in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SnapshotId(u128);

impl SnapshotId {
    /// The start of the SHA-256 of a manifest.
    pub(super) fn of(manifest: &[u8]) -> Self {
        let hash: [u8; 32] = Sha256::digest(manifest).into();
        let (first, _) = hash.split_first_chunk().expect("32 bytes have a first 16");
        Self(u128::from_be_bytes(*first))
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for SnapshotId {
    type Err = Error;

    /// Parses what `Display` writes. Anything else is [`Kind::Invalid`].
    fn from_str(text: &str) -> Result<Self> {
        let hex = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let number = u128::from_str_radix(text, 16).ok().filter(|_| hex);
        number
            .map(Self)
            .ok_or_else(|| Error::new(Kind::Invalid, format!("{text:?} is not a snapshot id")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_parsed_as_it_is_written() {
        let id = SnapshotId::of(b"");
        let text = "e3b0c44298fc1c149afbf4c8996fb924";
        assert_eq!(id.to_string(), text);
        assert_eq!(text.parse::<SnapshotId>().unwrap(), id);
        for bad in [
            "",
            "e3b0c44298fc1c14",
            "e3b0c44298fc1c149afbf4c8996fb92",
            "E3B0C44298FC1C149AFBF4C8996FB924",
            "+3b0c44298fc1c149afbf4c8996fb924",
        ] {
            assert!(bad.parse::<SnapshotId>().is_err(), "{bad}");
        }
    }
}
