//! Why a conversion fails.

use super::iconv::Refused;
use crate::error::Error;

/// The result of a stage.
pub(super) type Result<T> = std::result::Result<T, Failure>;

/// Why a text is not converted.
#[derive(Debug)]
pub(super) enum Failure {
    /// The encoding does not exist or has not got a character; git then writes
    /// the text unencoded.
    Refused,
    /// Reading, writing or a limit.
    Error(Error),
}

impl From<Refused> for Failure {
    fn from(_: Refused) -> Self {
        Self::Refused
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}
