//! Refs that a repository hides from who fetches (git, `transfer.hideRefs`).

use gix::{
    bstr::{BStr, BString, ByteSlice},
    config::file::{Metadata, init::Options},
};

use super::{Repository, store::message};
use crate::error::{Error, Kind, Result};

/// The longest configuration in bytes.
const CONFIG_LIMIT: u64 = 16 << 20;

/// The patterns of refs that are hidden, the last one that matches decides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HiddenRefs(Vec<BString>);

impl HiddenRefs {
    /// Whether nothing is hidden.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a ref is hidden, given by its full name (git, `ref_is_hidden`).
    pub(super) fn hide(&self, name: &BStr) -> bool {
        let shown = |pattern: &BString| {
            let (negative, rest) = match pattern.strip_prefix(b"!") {
                Some(rest) => (true, rest),
                None => (false, pattern.as_slice()),
            };
            // Before a namespace, which there is none of.
            let rest = rest.strip_prefix(b"^").unwrap_or(rest);
            let below = name.strip_prefix(rest.trim_end_with(|byte| byte == '/'))?;
            let is_match = below.is_empty() || below.starts_with(b"/");
            is_match.then_some(!negative)
        };
        self.0.iter().rev().find_map(shown).unwrap_or(false)
    }
}

impl Repository {
    /// What `transfer.hideRefs` and `uploadpack.hideRefs` say now.
    ///
    /// # Errors
    ///
    /// [`Kind::Refused`] if the configuration leads out, [`Kind::Corrupt`] if it
    /// is malformed, [`Kind::Io`] if a disk fails.
    pub fn hidden_refs(&self) -> Result<HiddenRefs> {
        let path = self.common_dir().join("config");
        let text = match self.wall().read(&path, CONFIG_LIMIT) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(HiddenRefs::default());
            }
            Err(error) => return Err(Error::io("read", &path, error)),
        };
        let options = Options::default();
        let config = gix::config::File::from_bytes_no_includes(&text, Metadata::default(), options);
        let config = config.map_err(|error| {
            let text = format!("{} is malformed: {}", path.display(), message(&error));
            Error::with_source(Kind::Corrupt, text, error)
        })?;
        let keys = ["transfer", "uploadpack"];
        let values = keys.map(|section| config.strings_by(section, None, "hideRefs"));
        Ok(HiddenRefs(values.into_iter().flatten().flatten().collect()))
    }

    /// Whether a revision begins with the name of a ref that is hidden.
    ///
    /// # Errors
    ///
    /// As for [`Repository::resolve`].
    pub fn names_hidden(&self, revision: &str, hidden: &HiddenRefs) -> Result<bool> {
        let end = revision.find(['^', '~', '@']).unwrap_or(revision.len());
        let (name, _) = revision.split_at(end);
        if name.is_empty() || name == "HEAD" || hidden.is_empty() {
            return Ok(false);
        }
        let full = self.full_name(name)?;
        Ok(full.is_some_and(|name| hidden.hide(name.as_bstr())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let hidden = HiddenRefs(
            ["refs/pull/", "^refs/secret", "!refs/secret/not", "refs/x"]
                .map(BString::from)
                .into(),
        );
        for (name, expected) in [
            ("refs/heads/main", false),
            ("refs/pull/1/head", true),
            ("refs/pull", true),
            ("refs/pulls/1", false),
            ("refs/secret/x", true),
            ("refs/secret/not/x", false),
            ("refs/x", true),
        ] {
            assert_eq!(hidden.hide(name.into()), expected, "{name}");
        }
    }
}
