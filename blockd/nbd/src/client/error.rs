//! What can go wrong between us and a server.

use std::{io, result, sync::Arc};

use thiserror::Error;

use crate::wire;

/// The result of everything a client does.
pub type Result<T, E = Error> = result::Result<T, E>;

/// An error of the client; one that ends a connection is told to every request
/// in flight, so it can be cloned.
#[derive(Clone, Debug, Error)]
pub enum Error {
    /// Nobody answers at the address.
    #[error("cannot connect to {address}")]
    Connect {
        /// Where we tried.
        address: String,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// Somebody answers, and does not speak NBD, or not the fixed newstyle.
    #[error("{address} is no NBD server that we can use: {reason}")]
    NotNbd {
        /// Where it is.
        address: String,
        /// What we saw.
        reason: String,
    },
    /// The server does not show that it is who it should be, or offers no TLS.
    #[error("no TLS with {address}: {reason}")]
    Tls {
        /// Where it is.
        address: String,
        /// What is missing.
        reason: String,
    },
    /// The server does not open this export for us.
    #[error("the server refuses the export {export:?}: {}", refusal(*.code, .text))]
    Refused {
        /// The name that was asked for.
        export: String,
        /// `NBD_REP_ERR_*`.
        code: u32,
        /// The server's words, maybe none.
        text: String,
    },
    /// The server breaks a rule of the protocol; the connection is over.
    #[error("the server breaks the NBD protocol: {0}")]
    Protocol(String),
    /// The connection is over.
    #[error("the connection to the server is lost: {0}")]
    Lost(Arc<str>),
    /// The server cannot answer this read; the connection lives on.
    #[error("the server answers with error {code}{}", if .text.is_empty() { String::new() } else { format!(": {}", .text) })]
    Remote {
        /// `NBD_E*`.
        code: u32,
        /// The server's words, maybe none.
        text: String,
    },
    /// A read that no server could answer.
    #[error("a read of {length} bytes at {offset} does not fit an export of {size} bytes")]
    Range {
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u32,
        /// Bytes of the export.
        size: u64,
    },
    /// The server took too long.
    #[error("{0} did not finish in time")]
    TimedOut(String),
}

impl Error {
    /// A rule that the server broke.
    pub(super) fn protocol(reason: impl Into<String>) -> Self {
        Self::Protocol(reason.into())
    }
}

/// Reading and writing fail in one way only: the connection is over.
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Lost("the server closed it".into()),
            _ => Self::Lost(error.to_string().into()),
        }
    }
}

fn refusal(code: u32, text: &str) -> String {
    let meaning = match code {
        wire::NBD_REP_ERR_UNKNOWN => "there is no such export",
        wire::NBD_REP_ERR_POLICY => "it is not allowed",
        wire::NBD_REP_ERR_INVALID => "the name makes no sense",
        wire::NBD_REP_ERR_TLS_REQD => "it wants TLS: nbds:// instead of nbd://",
        wire::NBD_REP_ERR_UNSUP => "it does not know NBD_OPT_GO",
        wire::NBD_REP_ERR_SHUTDOWN => "it is shutting down",
        _ => {
            return format!("option error {code:#x} {text}")
                .trim_end()
                .to_owned();
        }
    };
    if text.is_empty() {
        meaning.to_owned()
    } else {
        format!("{meaning} ({text})")
    }
}
