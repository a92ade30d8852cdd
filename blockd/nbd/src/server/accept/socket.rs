//! An accepted connection.

use std::io;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::{TcpStream, UnixStream};
use tracing::debug;

/// After this much silence the kernel asks whether the peer is still there,
/// so that a machine that vanished does not hold a connection for ever.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_COUNT: u32 = 4;

/// Either kind of stream.
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// A TCP connection, set up as well as the kernel lets us.
    pub(super) fn tcp(stream: TcpStream) -> Self {
        if let Err(error) = set_up(&stream) {
            debug!(%error, "cannot set the options of a TCP socket");
        }
        Self::Tcp(stream)
    }
}

/// `TCP_NODELAY`, which proto.md wants, and keepalive.
fn set_up(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_COUNT)?;
    Ok(())
}
