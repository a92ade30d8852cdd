//! Why output cannot be written to a log.

use std::{fmt, io};

use rustix::io::Errno;

/// Why a log takes no bytes now: the error of the system call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogError(Errno);

impl LogError {
    /// Whether the disk, or the user's quota of it, is full.
    pub fn is_full(self) -> bool {
        matches!(self.0, Errno::NOSPC | Errno::DQUOT)
    }
}

impl From<io::Error> for LogError {
    /// An error that no system call returned, such as a write of no bytes,
    /// counts as EIO.
    fn from(error: io::Error) -> Self {
        Self(Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
