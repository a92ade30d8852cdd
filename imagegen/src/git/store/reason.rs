//! Messages for damaged files, and for errors of gix.

use std::{error, io, iter, path::Path};

use gix::error::ClassificationMarker;
use tracing::warn;

use crate::error::{Error, Kind};

/// Why a file is found damaged.
pub(in crate::git) enum Reason {
    Text(&'static str),
    Git(gix::Error),
    Io(io::Error),
}

impl From<&'static str> for Reason {
    fn from(text: &'static str) -> Self {
        Self::Text(text)
    }
}

impl From<gix::Error> for Reason {
    fn from(error: gix::Error) -> Self {
        Self::Git(error)
    }
}

impl From<io::Error> for Reason {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The error `PATH STATE: REASON`, of [`Kind::Corrupt`], or [`Kind::Io`] if the
/// operating system has reported it.
pub(super) fn corrupt(path: &Path, state: &str, reason: impl Into<Reason>) -> Error {
    let start = format!("{} {state}", path.display());
    match reason.into() {
        Reason::Text(text) => Error::new(Kind::Corrupt, format!("{start}: {text}")),
        Reason::Git(error) => {
            let message = format!("{start}: {}", message(&error));
            let kind = if is_of_system(&error) {
                Kind::Io
            } else {
                Kind::Corrupt
            };
            Error::with_source(kind, message, error)
        }
        Reason::Io(error) => {
            let message = format!("{start}: {error}");
            Error::with_source(Kind::Corrupt, message, error)
        }
    }
}

/// Whether the operating system has reported the error, as when no file can be
/// opened or mapped.
fn is_of_system(error: &gix::Error) -> bool {
    let first: &(dyn error::Error + 'static) = error;
    iter::successors(Some(first), |error| error.source())
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .any(|error| error.raw_os_error().is_some())
}

/// The message of an error of gix, followed by those of its causes that say
/// something new.
pub(in crate::git) fn message(error: &gix::Error) -> String {
    let mut message = String::new();
    for cause in causes(error) {
        if message.is_empty() {
            message = cause;
        } else if !message.contains(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    message
}

/// The messages of an error of gix and of its causes, the root cause last.
pub(in crate::git) fn causes(error: &gix::Error) -> Vec<String> {
    let first: &(dyn error::Error + 'static) = error;
    iter::successors(Some(first), |error| error.source())
        .filter(|error| !error.is::<ClassificationMarker>())
        .map(ToString::to_string)
        .map(|message| message.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

/// Logs damage to a copy instead of which another was read.
pub(super) fn read_elsewhere(damage: &Error) {
    warn!("another copy is read, since: {damage}");
}
