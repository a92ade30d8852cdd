//! The name of a snapshot.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};

use crate::error::{Error, Kind, Result};

/// The name of a snapshot: the start of a hash over everything in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SnapshotId([u8; 8]);

impl SnapshotId {
    /// The 8 bytes.
    pub const fn bytes(self) -> [u8; 8] {
        self.0
    }

    /// The start of the SHA-256 of `bytes`.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let hash: [u8; 32] = Sha256::digest(bytes).into();
        Self(hash.first_chunk().copied().unwrap_or_default())
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl FromStr for SnapshotId {
    type Err = Error;

    /// Reads what `Display` writes: 16 hexadecimal digits in lower case.
    fn from_str(text: &str) -> Result<Self> {
        let hex = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let bytes = u64::from_str_radix(text, 16)
            .ok()
            .filter(|_| hex)
            .map(u64::to_be_bytes);
        bytes
            .map(Self)
            .ok_or_else(|| Error::new(Kind::Invalid, format!("{text:?} is no snapshot id")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let id = SnapshotId::of(b"");
        assert_eq!(id.to_string(), "e3b0c44298fc1c14");
        assert_eq!("e3b0c44298fc1c14".parse::<SnapshotId>().unwrap(), id);
        for bad in [
            "",
            "e3b0c44298fc1c1",
            "E3B0C44298FC1C14",
            "+3b0c44298fc1c14",
        ] {
            assert!(bad.parse::<SnapshotId>().is_err(), "{bad}");
        }
    }
}
