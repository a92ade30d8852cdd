//! The name of a volume.

use std::{fmt, str::FromStr};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use thiserror::Error;

/// What the name of a directory has as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');
/// The most bytes of the directory's name: file names have at most 255.
const MAX_KEY_LEN: usize = 240;

/// The name of a volume: without control characters, and short enough for a directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct VolumeName(String);

/// Why a text is no name of a volume.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "{name:?} cannot be the name of a volume: {reason}; give it another, and the export as the option uri"
)]
pub(super) struct InvalidName {
    name: String,
    reason: &'static str,
}

impl FromStr for VolumeName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let name = Self(text.to_owned());
        let reason = if text.is_empty() {
            "it is empty"
        } else if text.chars().any(char::is_control) {
            "it has a control character"
        } else if name.key().len() > MAX_KEY_LEN {
            "it is too long"
        } else {
            return Ok(name);
        };
        Err(InvalidName {
            name: text.to_owned(),
            reason,
        })
    }
}

impl VolumeName {
    /// The name of its directory.
    pub(super) fn key(&self) -> String {
        utf8_percent_encode(&self.0, ENCODED).to_string()
    }

    /// The name of a volume whose directory has this name.
    pub(super) fn of_key(key: &str) -> Option<Self> {
        let name = percent_decode_str(key).decode_utf8().ok()?;
        let name: Self = name.parse().ok()?;
        (name.key() == key).then_some(name)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_directory_of_its_own() {
        for name in ["team/project@main", "..", "a b", "ä%2F", "r@v1.0:uid=7"] {
            let name: VolumeName = name.parse().unwrap();
            let key = name.key();
            assert!(!key.contains(['/', '.', ' ']), "{key}");
            assert_eq!(VolumeName::of_key(&key), Some(name));
        }
        assert_eq!(VolumeName::of_key("a%2f"), None);
        assert_eq!(VolumeName::of_key("version.new"), None);
    }

    #[test]
    fn what_cannot_be_a_directory_is_refused() {
        for (name, reason) in [
            ("", "empty"),
            ("a\nb", "control character"),
            (&"/".repeat(100), "too long"),
        ] {
            let error = name.parse::<VolumeName>().unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("uri"), "{error}");
        }
    }
}
