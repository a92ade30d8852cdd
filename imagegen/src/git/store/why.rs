//! Errors of others, told in one line.

use std::{error, io, iter, path::Path};

use gix::error::ClassificationMarker;

use crate::error::{Error, Kind};

/// What led to an error: a sentence of ours, or an error of somebody else's.
pub(in crate::git) enum Why {
    Ours(&'static str),
    Git(gix::Error),
    Io(io::Error),
}

impl From<&'static str> for Why {
    fn from(why: &'static str) -> Self {
        Self::Ours(why)
    }
}

impl From<gix::Error> for Why {
    fn from(why: gix::Error) -> Self {
        Self::Git(why)
    }
}

impl From<io::Error> for Why {
    fn from(why: io::Error) -> Self {
        Self::Io(why)
    }
}

/// The error that the file at `path` is damaged, and how that showed.
pub(super) fn corrupt(path: &Path, what: &str, why: impl Into<Why>) -> Error {
    let place = format!("{} {what}", path.display());
    match why.into() {
        Why::Ours(why) => Error::new(Kind::Corrupt, format!("{place}: {why}")),
        Why::Git(error) => {
            let told = format!("{place}: {}", told(&error));
            Error::with_source(Kind::Corrupt, told, error)
        }
        Why::Io(error) => {
            let told = format!("{place}: {error}");
            Error::with_source(Kind::Corrupt, told, error)
        }
    }
}

/// An error of gix with what led to it.
pub(in crate::git) fn told(error: &gix::Error) -> String {
    let mut told = String::new();
    for cause in causes(error) {
        if told.is_empty() {
            told = cause;
        } else if !told.contains(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    told
}

/// The sentences of an error of gix, the root of it last.
pub(in crate::git) fn causes(error: &gix::Error) -> Vec<String> {
    let first: &(dyn error::Error + 'static) = error;
    iter::successors(Some(first), |error| error.source())
        .filter(|error| !error.is::<ClassificationMarker>())
        .map(ToString::to_string)
        .map(|told| told.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}
