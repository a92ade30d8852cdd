//! Why a connection ended.

use std::{io, time::Duration};

use thiserror::Error;

/// Why a connection ended otherwise than by the client or a shutdown.
#[derive(Debug, Error)]
pub enum ConnectionError {
    /// Receiving or sending failed, or the client closed the connection inside a
    /// message.
    #[error("the connection is broken: {0}")]
    Io(#[from] io::Error),
    /// The client violated the protocol in a way after which the connection
    /// cannot go on.
    #[error("the client violated the protocol: {0}")]
    Protocol(String),
    /// The TLS handshake failed.
    #[error("the TLS handshake failed: {0}")]
    Tls(io::Error),
    /// The client did not finish the handshake within
    /// [`Limits::handshake_time`](crate::Limits::handshake_time).
    #[error("the client did not finish the handshake within {0:?}")]
    HandshakeTimeout(Duration),
    /// Its place was given to another client: [`Limits`](crate::Limits) has how many
    /// there are.
    #[error("it was {0}, and its place was needed for another client")]
    Evicted(&'static str),
    /// The client chose, by `NBD_OPT_EXPORT_NAME`, an export that cannot be
    /// opened; that option has no error reply.
    #[error("the client chose an export that cannot be opened: {0}")]
    NoExport(String),
    /// A method of the export panicked.
    #[error("the export panicked: {0}")]
    ExportPanicked(String),
}
