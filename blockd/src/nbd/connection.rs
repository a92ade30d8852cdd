//! One client, from its first byte to its last.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tracing::{Span, debug, info};

use super::context::{Context, Shutdown};
use super::handshake::{self, Outcome};
use super::incoming::Incoming;
use super::outgoing::Outgoing;
use super::transmission::Transmission;

/// How long a closing connection waits for the client to read its last
/// replies and to close as well.
const LINGER: Duration = Duration::from_millis(500);

/// Why a connection ended before its time.
#[derive(Debug, Error)]
pub enum ConnectionError {
    /// The transport failed.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// The client said what no client may say.
    #[error("the client broke the protocol: {0}")]
    Protocol(String),
    /// The client kept the server waiting for too long.
    #[error("the client did not finish the handshake within {0:?}")]
    HandshakeTimeout(Duration),
    /// The client asked, by `NBD_OPT_EXPORT_NAME`, for what there is not.
    #[error("the client asked for an export that cannot be opened: {0}")]
    NoExport(String),
    /// The export failed in a way it should not.
    #[error("the export broke down: {0}")]
    Export(String),
}

/// Something that connects a client: a socket, or two pipes.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Serves one client until it or the server ends.
///
/// `in_handshake` is dropped when the handshake is over, however it ends.
pub async fn serve<S: Stream>(
    mut stream: S,
    context: Arc<Context>,
    mut shutdown: Shutdown,
    in_handshake: impl Send,
) -> Result<(), ConnectionError> {
    let mut incoming = Incoming::new();
    let mut outgoing = Outgoing::new(context.limits.stall_time, Arc::clone(&context.memory));
    let outcome = handshake::shake_hands(
        &mut stream,
        &mut incoming,
        &mut outgoing,
        (&context, &mut shutdown),
    )
    .await;
    drop(in_handshake);
    let Outcome::Transmission(agreed) = outcome? else {
        close(&mut stream).await;
        return Ok(());
    };
    let name = &agreed.export.info().name;
    Span::current().record("export", name.as_str());
    info!(
        structured_replies = agreed.structured_replies,
        "transmission begins"
    );

    let mut transmission = Transmission::new(&mut stream, incoming, outgoing, (context, agreed));
    let result = transmission.run(shutdown).await;
    let (requests, bytes) = transmission.served();
    debug!(requests, bytes, "transmission ends");
    drop(transmission);
    if result.is_ok() {
        close(&mut stream).await;
    }
    result
}

/// Closes softly: an end with unread bytes in the receive queue would make
/// TCP throw away the replies that are still on their way.
async fn close<S: Stream>(stream: &mut S) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut incoming = Incoming::new();
    let drain = async {
        while incoming
            .fill(stream)
            .await
            .is_ok_and(|received| received > 0)
        {
            incoming.discard(u64::MAX);
        }
    };
    // The time is up, or the client has closed: either way it is over.
    timeout(LINGER, drain).await.ok();
}
