//! The patterns of `.gitattributes`.

use gix::bstr::ByteSlice;

use super::glob::Glob;

/// A pattern, classified as by git (`parse_path_pattern`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Pattern {
    /// A file name, without a slash or a wildcard.
    Name(Box<[u8]>),
    /// `*` and the end of a file name, without further wildcards.
    Suffix(Box<[u8]>),
    /// A file name with wildcards.
    NameGlob(Glob),
    /// A path relative to the directory of the `.gitattributes`: with a slash.
    Path {
        /// The part before the first wildcard.
        prefix: Box<[u8]>,
        /// The rest. git matches it like a pattern of its own, so in `a/b**/c`
        /// the stars match slashes too.
        glob: Glob,
    },
}

impl Pattern {
    /// `None` for patterns that match no file: those with a leading `!`, which
    /// is not allowed, and those with a trailing slash, which match directories
    /// only.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        // git treats the pattern as a C string.
        let text = text.split_once_str(b"\0").map_or(text, |(text, _)| text);
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

    /// Whether a match depends on the directory of the file.
    pub(super) fn is_anchored(&self) -> bool {
        matches!(self, Self::Path { .. })
    }

    /// Whether it matches a file with this name, and this path relative to the
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

/// The length of a pattern up to the first wildcard or backslash.
fn literal(text: &[u8]) -> usize {
    text.find_byteset(b"*?[\\").unwrap_or(text.len())
}
