//! Which files a line of `.gitattributes` speaks of.

use gix::bstr::ByteSlice;

use super::glob::Glob;

/// A pattern, cut as git cuts it (`parse_path_pattern`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Pattern {
    /// Without a slash and a wildcard: the file name.
    Name(Box<[u8]>),
    /// `*` and then no wildcard: how the file name ends.
    Suffix(Box<[u8]>),
    /// Without a slash: the file name, with wildcards.
    NameGlob(Glob),
    /// With a slash: the path from the directory of the `.gitattributes`.
    Path {
        /// What it begins with, up to the first wildcard.
        prefix: Box<[u8]>,
        /// The rest. git matches it as if it stood alone, so that in `a/b**/c`
        /// the stars do cross slashes.
        glob: Glob,
    },
}

impl Pattern {
    /// `None` for patterns that match no file: a leading `!` is not allowed,
    /// and a trailing slash means directories.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
        if text.starts_with(b"!") || text.ends_with(b"/") {
            return None;
        }
        if !text.contains(&b'/') {
            return Some(Self::parse_name(text));
        }
        let text = text.strip_prefix(b"/").unwrap_or(text);
        let (prefix, glob) = text.split_at_checked(literal(text))?;
        Some(Self::Path {
            prefix: prefix.into(),
            glob: Glob::parse(glob),
        })
    }

    fn parse_name(text: &[u8]) -> Self {
        match text {
            _ if literal(text) == text.len() => Self::Name(text.into()),
            [b'*', suffix @ ..] if literal(suffix) == suffix.len() => Self::Suffix(suffix.into()),
            _ => Self::NameGlob(Glob::parse(text)),
        }
    }

    /// Whether it matters where the file lies.
    pub(super) fn is_anchored(&self) -> bool {
        matches!(self, Self::Path { .. })
    }

    /// Whether it matches a file of this name, and this path from the
    /// directory of the `.gitattributes`.
    pub(super) fn matches(&self, name: &[u8], path: &[u8]) -> bool {
        match self {
            Self::Name(own) => **own == *name,
            Self::Suffix(suffix) => name.ends_with(suffix),
            Self::NameGlob(glob) => glob.matches(name),
            Self::Path { prefix, glob } => path
                .strip_prefix(&**prefix)
                .is_some_and(|rest| glob.matches(rest)),
        }
    }
}

/// How many bytes come before the first that is special in a pattern.
fn literal(text: &[u8]) -> usize {
    text.find_byteset(b"*?[\\").unwrap_or(text.len())
}
