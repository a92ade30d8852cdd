//! Strings of the protocol (proto.md, "Conventions"): UTF-8 without NUL, of at most
//! [`MAX_STRING`] bytes.

use thiserror::Error;

use crate::wire::MAX_STRING;

/// The beginning of a text that a string of the protocol can hold: at most
/// [`MAX_STRING`] bytes, cut between characters.
pub(crate) fn truncate(text: &str) -> &str {
    let end = text.len().min(MAX_STRING);
    let end = (0..=end).rev().find(|end| text.is_char_boundary(*end));
    let end = end.expect("the beginning of a text is a boundary");
    text.get(..end).expect("it is a boundary")
}

/// Why bytes are not a string of the protocol; follows the name of what
/// they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum StringError {
    #[error("has {0} bytes, the maximum is {MAX_STRING}")]
    TooLong(usize),
    #[error("is not UTF-8")]
    NotUtf8,
    #[error("contains a NUL")]
    Nul,
}

/// A string of the protocol that fills all of `bytes`.
pub(crate) fn parse_string(bytes: &[u8]) -> Result<&str, StringError> {
    if bytes.len() > MAX_STRING {
        return Err(StringError::TooLong(bytes.len()));
    }
    let text = str::from_utf8(bytes).map_err(|_| StringError::NotUtf8)?;
    if text.contains('\0') {
        return Err(StringError::Nul);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(truncate("short"), "short");
        assert_eq!(truncate(&"ä".repeat(3000)).len(), 4096);
        assert_eq!(truncate(&format!("x{}", "ä".repeat(3000))).len(), 4095);
    }
}
