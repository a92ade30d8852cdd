//! What can go wrong, for programs, for people and for the log.

use std::{error, fmt, io, path::Path, result};

type Source = Box<dyn error::Error + Send + Sync + 'static>;

/// The result of everything in this crate that can fail.
pub type Result<T> = result::Result<T, Error>;

/// What a caller may want to decide by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The operating system failed us; another try may work.
    Io,
    /// There is no such repository, revision, path or object.
    NotFound,
    /// Bytes that are there are not what they must be.
    Corrupt,
    /// It is well formed, and this version cannot show it.
    Unsupported,
    /// What was asked for makes no sense.
    Invalid,
}

/// An error: a [`Kind`] for control flow, a sentence for people, a source for
/// the log.
///
/// `Display` is the sentence alone; it names the repository, object, path or
/// offset it speaks of.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    context: String,
    source: Option<Source>,
}

impl Error {
    /// An error nobody else caused.
    pub fn new(kind: Kind, context: impl Into<String>) -> Self {
        Self {
            kind,
            context: context.into(),
            source: None,
        }
    }

    /// An error with the one that led to it.
    pub fn with_source(kind: Kind, context: impl Into<String>, source: impl Into<Source>) -> Self {
        Self {
            kind,
            context: context.into(),
            source: Some(source.into()),
        }
    }

    /// An error of the operating system at `path`; "not found" keeps its kind.
    pub fn io(doing: &str, path: &Path, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::NotFound => Kind::NotFound,
            _ => Kind::Io,
        };
        Self::with_source(
            kind,
            format!("cannot {doing} {}: {source}", path.display()),
            source,
        )
    }

    /// What to decide by.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The same error, told from further out: `outer: inner`.
    #[must_use]
    pub fn within(mut self, outer: impl fmt::Display) -> Self {
        self.context = format!("{outer}: {}", self.context);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.source.as_deref().map(|source| {
            let source: &(dyn error::Error + 'static) = source;
            source
        })
    }
}
