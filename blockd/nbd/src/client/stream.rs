//! A byte stream to a server: TCP, a Unix domain socket, or TLS over TCP.

use std::{fmt, io, sync::Arc, time::Duration};

use rustix::net::sockopt;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use super::error::{Error, Result};
use crate::{keepalive::Keepalive, uri::Address};

/// A server that is gone is noticed within 19 seconds.
const KEEPALIVE: Keepalive = Keepalive {
    idle: Duration::from_secs(10),
    interval: Duration::from_secs(3),
    count: 3,
};
/// How long sent data may stay unacknowledged, in milliseconds
/// (`TCP_USER_TIMEOUT`); keepalive does not cover that case.
const USER_TIMEOUT_MS: u32 = 10_000;

/// What a connection reads from and writes to.
pub(crate) trait Stream: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin> Stream for S {}

/// Connects to `address`, without TLS.
pub(super) async fn connect(address: &Address) -> Result<Box<dyn Stream>> {
    open(address).await.map_err(|source| Error::Connect {
        address: address.to_string(),
        source: Arc::new(source),
    })
}

async fn open(address: &Address) -> io::Result<Box<dyn Stream>> {
    Ok(match address {
        Address::Tcp { host, port, .. } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            KEEPALIVE.apply(&stream)?;
            sockopt::set_tcp_user_timeout(&stream, USER_TIMEOUT_MS)?;
            Box::new(stream)
        }
        Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
    })
}
