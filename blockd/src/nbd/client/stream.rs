//! A byte stream to a server, whatever lies beneath.

use std::{fmt, io, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use super::{Error, Result};
use crate::uri::Address;

/// TCP or a Unix socket; TLS later.
pub(super) trait Stream: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin> Stream for S {}

pub(super) async fn connect(address: &Address) -> Result<Box<dyn Stream>> {
    open(address).await.map_err(|source| Error::Connect {
        address: address.to_string(),
        source: Arc::new(source),
    })
}

async fn open(address: &Address) -> io::Result<Box<dyn Stream>> {
    Ok(match address {
        Address::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            Box::new(stream)
        }
        Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
    })
}
