//! One client, from its first byte to its last.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{Span, debug, info};

use super::context::{Context, Shutdown};
use super::handshake::{self, Outcome, Security};
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
    /// Client and server do not agree on TLS.
    #[error("no TLS: {0}")]
    Tls(io::Error),
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
    stream: S,
    context: Arc<Context>,
    shutdown: Shutdown,
    in_handshake: impl Send,
) -> Result<(), ConnectionError> {
    let mut talk = Talk::new(stream, context, shutdown);
    let outcome = talk.shake_hands(Security::Clear).await?;
    drop(in_handshake);
    talk.go_on(outcome).await
}

/// The same where nothing is told in the clear: the client must begin with
/// `NBD_OPT_STARTTLS`.
pub async fn serve_tls<S: Stream>(
    stream: S,
    acceptor: &TlsAcceptor,
    context: Arc<Context>,
    shutdown: Shutdown,
    in_handshake: impl Send,
) -> Result<(), ConnectionError> {
    let mut talk = Talk::new(stream, context, shutdown);
    let outcome = talk.shake_hands(Security::Required).await?;
    let Outcome::Tls { no_zeroes } = outcome else {
        return talk.go_on(outcome).await;
    };
    let Some(mut talk) = talk.secured(acceptor).await? else {
        return Ok(());
    };
    let outcome = talk.shake_hands(Security::Secured { no_zeroes }).await?;
    drop(in_handshake);
    talk.go_on(outcome).await
}

/// A connection, and what is on its way in both directions.
struct Talk<S> {
    stream: S,
    incoming: Incoming,
    outgoing: Outgoing,
    context: Arc<Context>,
    shutdown: Shutdown,
}

impl<S: Stream> Talk<S> {
    fn new(stream: S, context: Arc<Context>, shutdown: Shutdown) -> Self {
        let outgoing = Outgoing::new(context.limits.stall_time, Arc::clone(&context.memory));
        Self {
            stream,
            incoming: Incoming::new(),
            outgoing,
            context,
            shutdown,
        }
    }

    async fn shake_hands(&mut self, security: Security) -> Result<Outcome, ConnectionError> {
        handshake::shake_hands(
            &mut self.stream,
            &mut self.incoming,
            &mut self.outgoing,
            (&self.context, &mut self.shutdown),
            security,
        )
        .await
    }

    /// The same in TLS; `None` when the server ends before.
    async fn secured(
        self,
        acceptor: &TlsAcceptor,
    ) -> Result<Option<Talk<TlsStream<S>>>, ConnectionError> {
        let Self {
            stream,
            context,
            mut shutdown,
            ..
        } = self;
        let allowed = context.limits.handshake_time;
        let accepted = tokio::select! {
            () = shutdown.requested() => return Ok(None),
            accepted = timeout(allowed, acceptor.accept(stream)) => accepted,
        };
        let accepted = accepted.map_err(|_| ConnectionError::HandshakeTimeout(allowed))?;
        let stream = accepted.map_err(ConnectionError::Tls)?;
        Ok(Some(Talk::new(stream, context, shutdown)))
    }

    async fn go_on(self, outcome: Outcome) -> Result<(), ConnectionError> {
        let Self {
            mut stream,
            incoming,
            outgoing,
            context,
            shutdown,
        } = self;
        let Outcome::Transmission(agreed) = outcome else {
            close(&mut stream).await;
            return Ok(());
        };
        let name = &agreed.export.info().name;
        Span::current().record("export", name.as_str());
        info!(
            structured_replies = agreed.structured_replies,
            "transmission begins"
        );

        let mut transmission =
            Transmission::new(&mut stream, incoming, outgoing, (context, agreed));
        let result = transmission.run(shutdown).await;
        let (requests, bytes) = transmission.served();
        debug!(requests, bytes, "transmission ends");
        drop(transmission);
        if result.is_ok() {
            close(&mut stream).await;
        }
        result
    }
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
