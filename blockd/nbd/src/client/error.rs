//! What can go wrong between a client and a server.

use std::{io, result, sync::Arc};

use thiserror::Error;

use crate::{printable, wire};

/// The result of everything a client does.
pub type Result<T, E = Error> = result::Result<T, E>;

/// An error of the client. It can be cloned: an error that ends a connection is
/// the result of every read in flight on it.
#[derive(Clone, Debug, Error)]
pub enum Error {
    /// The connection was not established: nobody listens, or no route.
    #[error("cannot connect to {address}")]
    Connect {
        /// The server's address.
        address: String,
        /// The error of the operating system.
        source: Arc<io::Error>,
    },
    /// The peer does not speak NBD with the fixed newstyle handshake.
    #[error("{address} is not an NBD server that can be used: {reason}")]
    NotNbd {
        /// The server's address.
        address: String,
        /// What it does instead.
        reason: String,
    },
    /// TLS was requested, and the server offers none, or its certificate or
    /// ours is not accepted.
    #[error("TLS with {address} failed: {reason}")]
    Tls {
        /// The server's address.
        address: String,
        /// What failed.
        reason: String,
    },
    /// The server does not open this export for this client.
    #[error("the server refuses the export {export:?}: {}", refusal(*.code, .text))]
    Refused {
        /// The requested name.
        export: String,
        /// `NBD_REP_ERR_…`.
        code: u32,
        /// The server's message; empty if it sent none.
        text: String,
    },
    /// The server violates the protocol; the connection has ended.
    #[error("the server violates the NBD protocol: {0}")]
    Protocol(String),
    /// The connection has ended, for this reason.
    #[error("the connection to the server is lost: {0}")]
    Lost(Arc<str>),
    /// The server reports an error for this read; the connection goes on.
    #[error("the server answers with error {code}{}", if .text.is_empty() { String::new() } else { format!(": {}", printable(.text)) })]
    Remote {
        /// `NBD_E…`.
        code: u32,
        /// The server's message; empty if it sent none.
        text: String,
    },
    /// The read was not sent: it passes the end of the export, or is longer
    /// than [`Client::maximum_read`](super::Client::maximum_read).
    #[error("a read of {length} bytes at {offset} does not fit an export of {size} bytes")]
    Range {
        /// First byte.
        offset: u64,
        /// Number of bytes.
        length: u32,
        /// Size of the export, in bytes.
        size: u64,
    },
    /// This did not finish in time.
    #[error("{0} did not finish in time")]
    TimedOut(String),
}

impl Error {
    /// A violation of the protocol by the server.
    pub(super) fn protocol(reason: impl Into<String>) -> Self {
        Self::Protocol(reason.into())
    }
}

/// An error of the transport ends the connection.
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Lost("the server closed it".into()),
            _ => Self::Lost(error.to_string().into()),
        }
    }
}

fn refusal(code: u32, text: &str) -> String {
    let text = printable(text);
    let meaning = match code {
        wire::NBD_REP_ERR_UNKNOWN => "there is no such export",
        wire::NBD_REP_ERR_POLICY => "its policy forbids it",
        wire::NBD_REP_ERR_INVALID => "the name is invalid",
        wire::NBD_REP_ERR_TLS_REQD => "it requires TLS: use nbds:// instead of nbd://",
        wire::NBD_REP_ERR_UNSUP => "it does not support NBD_OPT_GO",
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
