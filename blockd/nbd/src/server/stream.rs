//! What a connection is made of.

use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream to and from a client: a socket, two pipes, or TLS over either.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}
