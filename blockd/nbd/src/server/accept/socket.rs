//! An accepted connection.

use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tracing::debug;

use crate::keepalive::Keepalive;

/// A client's machine that is gone frees its connection within 2 minutes.
const KEEPALIVE: Keepalive = Keepalive {
    idle: Duration::from_secs(60),
    interval: Duration::from_secs(15),
    count: 4,
};

/// Either kind of stream.
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// A TCP connection with its options set. Without them it works too, so that
    /// a failure is only logged.
    pub(super) fn tcp(stream: TcpStream) -> Self {
        if let Err(error) = KEEPALIVE.apply(&stream) {
            debug!(%error, "cannot set the options of a TCP socket");
        }
        Self::Tcp(stream)
    }
}
