//! Names of repositories: one, or all below a directory.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The repositories that are meant: `team/app`, all below `team/*`, or `*`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    /// A name; or what names begin with, which is empty or ends in a slash.
    name: String,
    is_prefix: bool,
}

impl Pattern {
    /// Whether a repository is meant, by its plain name: without `.git`, `//` or a
    /// slash at an end.
    pub(crate) fn covers(&self, repository: &str) -> bool {
        if self.is_prefix {
            repository.starts_with(&self.name)
        } else {
            repository == self.name
        }
    }

    /// Whether all that `other` means is meant.
    pub(crate) fn includes(&self, other: &Self) -> bool {
        if self.is_prefix {
            other.name.starts_with(&self.name)
        } else {
            self == other
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (name, is_prefix) = match text.strip_suffix('*') {
            Some(prefix) if prefix.is_empty() || prefix.ends_with('/') => (prefix, true),
            _ => (text.as_str(), false),
        };
        let name = if is_prefix {
            name
        } else {
            name.strip_suffix(".git").unwrap_or(name)
        };
        let parts = name.strip_suffix('/').filter(|_| is_prefix).unwrap_or(name);
        let is_part =
            |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['*', '@', ':']);
        if (is_prefix && name.is_empty()) || parts.split('/').all(is_part) {
            return Ok(Self {
                name: name.to_owned(),
                is_prefix,
            });
        }
        Err(format!(
            "{text:?} names no repositories: expected a name like \"team/app\", all below a \
             directory like \"team/*\", or \"*\""
        ))
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.is_prefix { "*" } else { "" };
        write!(f, "{}{star}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_a_directory() {
        let covered = |pattern: &str| {
            let pattern = Pattern::try_from(pattern.to_owned()).unwrap();
            let names = ["team/app", "team/app2", "team", "team/a/b", "other", ""];
            names.map(|name| pattern.covers(name))
        };
        assert_eq!(covered("*"), [true; 6]);
        assert_eq!(
            covered("team/app"),
            [true, false, false, false, false, false]
        );
        assert_eq!(covered("team/app.git"), covered("team/app"));
        assert_eq!(covered("team/*"), [true, true, false, true, false, false]);
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for text in [
            "", "/", "team/", "/team", "a//b", "a/../b", "te*", "a*b/*", "a@b", "a:b", "**",
        ] {
            let error = Pattern::try_from(text.to_owned()).unwrap_err();
            assert!(error.contains("team/*"), "{text}: {error}");
        }
    }
}
