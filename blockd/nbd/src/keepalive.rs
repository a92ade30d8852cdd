//! TCP options for a connection that may be idle for long: without keepalive, a
//! machine that loses power or its network is never noticed (tcp(7)).

use std::{io, time::Duration};

use rustix::net::sockopt;
use tokio::net::TcpStream;

/// When a silent peer is taken for dead: after `idle + count * interval`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keepalive {
    /// Silence before the first probe (`TCP_KEEPIDLE`), in whole seconds.
    pub(crate) idle: Duration,
    /// Time between probes (`TCP_KEEPINTVL`), in whole seconds.
    pub(crate) interval: Duration,
    /// Probes without an answer until the connection is reset (`TCP_KEEPCNT`).
    pub(crate) count: u32,
}

impl Keepalive {
    /// Sets these options, and `TCP_NODELAY`, which both sides SHOULD set (proto.md,
    /// "Protocol phases").
    pub(crate) fn apply(self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        sockopt::set_socket_keepalive(stream, true)?;
        sockopt::set_tcp_keepidle(stream, self.idle)?;
        sockopt::set_tcp_keepintvl(stream, self.interval)?;
        sockopt::set_tcp_keepcnt(stream, self.count)?;
        Ok(())
    }
}
