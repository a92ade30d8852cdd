//! How a program ended.

use std::fmt;

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// With this exit code.
    Code(u32),
    /// By a signal, as strsignal(3) names it.
    Signal(String),
    /// It is not known: why.
    Unknown(String),
}

impl fmt::Display for Exit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(formatter, "it exited with code {code}"),
            Self::Signal(signal) => write!(formatter, "it was ended by a signal: {signal}"),
            Self::Unknown(reason) => write!(formatter, "it is gone: {reason}"),
        }
    }
}
