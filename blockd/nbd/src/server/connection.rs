//! One client, from its first byte to its last.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::{Span, debug, info};

use super::{
    admission::Admission,
    context::Context,
    error::ConnectionError,
    handshake::{self, Outcome, Security, later},
    receive_buffer::ReceiveBuffer,
    send_buffer::SendBuffer,
    shutdown::Shutdown,
    stream::Stream,
    transmission::Transmission,
};
use crate::tls::certificate_names;

/// How long the server waits, after its last reply, for the client to close.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// Serves one client until it or the server ends.
///
/// The place in the handshake is given back when that is over, however it ends.
///
/// # Errors
///
/// As [`ConnectionError`] says; an error ends the connection.
pub(crate) async fn serve<S: Stream>(
    stream: S,
    context: Arc<Context>,
    shutdown: Shutdown,
    admission: Admission,
) -> Result<(), ConnectionError> {
    let mut client = ClientConnection::new(stream, context, shutdown, admission);
    let outcome = client.negotiate(Security::Clear).await?;
    client.admission.handshake = None;
    client.finish(outcome).await
}

/// As [`serve`], in TLS only: the client must begin with `NBD_OPT_STARTTLS`
/// (proto.md, "FORCEDTLS mode").
///
/// # Errors
///
/// As [`ConnectionError`] says; an error ends the connection.
pub(crate) async fn serve_tls<S: Stream>(
    stream: S,
    acceptor: &TlsAcceptor,
    context: Arc<Context>,
    shutdown: Shutdown,
    admission: Admission,
) -> Result<(), ConnectionError> {
    let mut client = ClientConnection::new(stream, context, shutdown, admission);
    let outcome = client.negotiate(Security::Required).await?;
    let Outcome::StartTls { no_zeroes } = outcome else {
        return client.finish(outcome).await;
    };
    let Some(mut client) = client.start_tls(acceptor).await? else {
        return Ok(());
    };
    let outcome = client.negotiate(Security::Tls { no_zeroes }).await?;
    client.admission.handshake = None;
    client.finish(outcome).await
}

/// A connection, and what is buffered in both directions.
struct ClientConnection<S> {
    stream: S,
    incoming: ReceiveBuffer,
    outgoing: SendBuffer,
    context: Arc<Context>,
    shutdown: Shutdown,
    admission: Admission,
    /// When the handshake must be over.
    deadline: Instant,
}

impl<S: Stream> ClientConnection<S> {
    fn new(stream: S, context: Arc<Context>, shutdown: Shutdown, admission: Admission) -> Self {
        let deadline = later(Instant::now(), context.limits.handshake_time);
        let memory = context.in_flight.of(admission.identity.spender.peer);
        let place = admission.connection.clone();
        let outgoing = SendBuffer::new(&context.limits, memory, place);
        Self {
            stream,
            incoming: ReceiveBuffer::new(),
            outgoing,
            context,
            shutdown,
            admission,
            deadline,
        }
    }

    async fn negotiate(&mut self, security: Security) -> Result<Outcome, ConnectionError> {
        handshake::negotiate(
            &mut self.stream,
            &mut self.incoming,
            &mut self.outgoing,
            (&self.context, &self.admission),
            (&mut self.shutdown, self.deadline, security),
        )
        .await
    }

    /// The same connection in TLS; `None` when the server shuts down before.
    async fn start_tls(
        self,
        acceptor: &TlsAcceptor,
    ) -> Result<Option<ClientConnection<TlsStream<S>>>, ConnectionError> {
        let Self {
            stream,
            context,
            mut shutdown,
            mut admission,
            deadline,
            ..
        } = self;
        let allowed = context.limits.handshake_time;
        let accepted = tokio::select! {
            () = shutdown.requested() => return Ok(None),
            accepted = timeout_at(deadline, acceptor.accept(stream)) => accepted,
        };
        let accepted = accepted.map_err(|_| ConnectionError::HandshakeTimeout(allowed))?;
        let stream = accepted.map_err(ConnectionError::Tls)?;
        let (_, session) = stream.get_ref();
        admission.identity.certificate_names = certificate_names(session.peer_certificates());
        let client = ClientConnection::new(stream, context, shutdown, admission);
        Ok(Some(ClientConnection { deadline, ..client }))
    }

    /// The transmission phase, if the handshake leads to one, and the end.
    async fn finish(self, outcome: Outcome) -> Result<(), ConnectionError> {
        let Self {
            mut stream,
            incoming,
            outgoing,
            context,
            shutdown,
            admission,
            deadline: _,
        } = self;
        let Outcome::Transmission(negotiated) = outcome else {
            close(&mut stream).await;
            return Ok(());
        };
        let name = &negotiated.export.info().name;
        Span::current().record("export", name.as_str());
        let visit = context.open.enter(name);
        info!(
            structured_replies = negotiated.structured_replies,
            "transmission begins"
        );

        let shared = (context, negotiated, visit);
        let mut transmission = Transmission::new(&mut stream, incoming, outgoing, shared);
        transmission.place = admission.connection;
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

/// Closes the sending side and waits for the client to close: closing with unread
/// bytes would reset a TCP connection, and the last replies would be lost.
async fn close<S: Stream>(stream: &mut S) {
    if stream.shutdown().await.is_err() {
        return; // The connection is broken: there is nobody to wait for.
    }
    let mut incoming = ReceiveBuffer::new();
    let drain = async {
        while incoming
            .fill(stream)
            .await
            .is_ok_and(|received| received > 0)
        {
            incoming.discard(u64::MAX);
        }
    };
    // A client that takes longer may lose its last replies.
    timeout(CLOSE_TIMEOUT, drain).await.ok();
}
