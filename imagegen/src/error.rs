//! The error type of the crate.

use std::{error, fmt, io, path::Path, result};

type Source = Box<dyn error::Error + Send + Sync + 'static>;

/// The result of a fallible function of this crate.
pub type Result<T> = result::Result<T, Error>;

/// The kind of an [`Error`], for decisions by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The operating system reported an error. Another attempt may succeed.
    Io,
    /// A repository, revision, path or object does not exist.
    NotFound,
    /// Data in the repository or in the state directory is damaged.
    Corrupt,
    /// The data is well formed, but not supported by this version, or exceeds a
    /// limit.
    Unsupported,
    /// An argument is out of range or malformed.
    Invalid,
    /// A repository leads out of the directories that may be read, or shows what
    /// it may not.
    Refused,
}

/// Why a file is not opened, as the source of an [`io::Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Barred {
    /// It lies outside of the directories that may be read.
    LeadsOut,
    /// It is this, and not a regular file.
    NotRegular(&'static str),
}

impl fmt::Display for Barred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeadsOut => f.write_str(
                "it leads out of the directories that may be read; --allow DIR permits another one",
            ),
            Self::NotRegular(found) => write!(f, "it is {found}, and not a regular file"),
        }
    }
}

impl error::Error for Barred {}

impl From<Barred> for io::Error {
    fn from(barred: Barred) -> Self {
        Self::other(barred)
    }
}

/// An error with a [`Kind`], a message and, if another error caused it, that
/// error as its [source](error::Error::source).
///
/// `Display` writes the message only. It names the repository, object, path or
/// offset concerned, and includes the message of the cause.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    context: String,
    source: Option<Source>,
}

impl Error {
    /// An error without a source.
    pub fn new(kind: Kind, context: impl Into<String>) -> Self {
        Self {
            kind,
            context: context.into(),
            source: None,
        }
    }

    /// An error caused by `source`.
    pub fn with_source(kind: Kind, context: impl Into<String>, source: impl Into<Source>) -> Self {
        Self {
            kind,
            context: context.into(),
            source: Some(source.into()),
        }
    }

    /// The error `cannot DOING PATH: SOURCE` of the operating system. It is
    /// [`Kind::NotFound`] if `path` does not exist, [`Kind::Refused`] if it may
    /// not be read, [`Kind::Corrupt`] if it is no regular file, else
    /// [`Kind::Io`].
    pub fn io(doing: &str, path: &Path, source: io::Error) -> Self {
        let barred = source.get_ref().and_then(|inner| inner.downcast_ref());
        let kind = match (barred, source.kind()) {
            (Some(Barred::LeadsOut), _) => Kind::Refused,
            (Some(Barred::NotRegular(_)), _) => Kind::Corrupt,
            (None, io::ErrorKind::NotFound) => Kind::NotFound,
            (None, _) => Kind::Io,
        };
        Self::with_source(
            kind,
            format!("cannot {doing} {}: {source}", path.display()),
            source,
        )
    }

    /// The kind.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The error as one of another kind.
    #[must_use]
    pub(crate) fn of_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// The error with the message `outer: inner`, where `inner` was the message
    /// before: for callers that know the context.
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
