//! Listens, and serves every client in a task of its own until the server is shut
//! down.

mod inherited;
mod listener;
mod socket;
mod stdio;

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fmt,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{Id, JoinError, JoinSet},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tracing::{Instrument, Span, debug, error, field, info, info_span, warn};

use self::socket::Socket;
pub use self::{
    inherited::inherited_listeners,
    listener::{BindError, Bound, Listener},
    stdio::serve_stdio,
};
use super::{
    connection,
    context::Context,
    error::ConnectionError,
    limits::Limits,
    shutdown::{Shutdown, ShutdownTrigger},
};
use crate::export::Exports;

/// How long a listener pauses after accept(2) has failed, as it does when no file
/// descriptor is free.
const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// An NBD server, bound and ready to run.
///
/// It logs by `tracing`: every connection has a span with its peer and its export.
/// A panic in a method of an [`Export`](crate::Export) ends the connection that
/// called it; the log has its number since the start.
pub struct Server {
    /// Where it listens.
    pub listeners: Vec<Listener>,
    /// What it allows its clients.
    pub limits: Limits,
    /// With an acceptor, TCP is served by TLS only (proto.md, "FORCEDTLS mode").
    /// Unix sockets do not leave the host, and are always served without.
    pub tls: Option<TlsAcceptor>,
    /// What it serves.
    pub exports: Arc<dyn Exports>,
}

impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Server")
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Serves until `shutdown` is ready. Then it accepts no more clients, refuses
    /// new requests with `NBD_ESHUTDOWN`, finishes those in flight, and returns
    /// after [`Limits::drain_time`] at the latest. Without listeners it returns at
    /// once.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let drain_time = self.limits.drain_time;
        let (trigger, stop) = ShutdownTrigger::new();
        let state = Arc::new(ServerState::new(self.exports, self.limits, self.tls));
        let listeners = self.listeners.into_iter();
        let listening =
            listeners.map(|listener| accept_loop(listener, Arc::clone(&state), stop.clone()));
        let mut listening = pin!(join_all(listening));
        tokio::select! {
            _ = &mut listening => return,
            () = shutdown => trigger.trigger(),
        }
        info!("shutting down");
        if timeout(drain_time, listening).await.is_err() {
            warn!(
                ?drain_time,
                "connections that did not finish in time were cut"
            );
        }
    }
}

/// What all listeners share.
struct ServerState {
    context: Arc<Context>,
    tls: Option<TlsAcceptor>,
    handshakes: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    /// Whether the last client was turned away, so that a run of them is logged
    /// once.
    full: AtomicBool,
    /// How many connections a panic has ended.
    panics: AtomicU64,
}

impl ServerState {
    fn new(exports: Arc<dyn Exports>, limits: Limits, tls: Option<TlsAcceptor>) -> Self {
        let permits = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Self {
            context: Context::new(exports, limits),
            tls,
            handshakes: permits(limits.handshakes),
            connections: permits(limits.connections),
            full: AtomicBool::new(false),
            panics: AtomicU64::new(0),
        }
    }

    /// Permits for one more client; `None` when the server is full or shuts down.
    /// While too many clients are in the handshake, it waits.
    async fn admit(&self, stop: &mut Shutdown) -> Option<Permits> {
        // The only error is that none is free: nobody closes the semaphore.
        let connection = Arc::clone(&self.connections).try_acquire_owned().ok();
        let was_full = self.full.swap(connection.is_none(), Ordering::Relaxed);
        if connection.is_none() && !was_full {
            let limit = self.context.limits.connections;
            warn!(
                limit,
                "too many connections: further ones are closed at once"
            );
        }
        let connection = connection?;
        let handshake = tokio::select! {
            () = stop.requested() => return None,
            handshake = Arc::clone(&self.handshakes).acquire_owned() => handshake,
        };
        Some(Permits {
            connection,
            handshake: handshake.expect("nobody closes the semaphore"),
        })
    }

    /// Counts a panic; returns how many there were.
    fn count_panic(&self) -> u64 {
        let before = self.panics.fetch_add(1, Ordering::Relaxed);
        before.saturating_add(1)
    }
}

/// What a client occupies.
struct Permits {
    connection: OwnedSemaphorePermit,
    /// Until the handshake is over.
    handshake: OwnedSemaphorePermit,
}

/// The connections of one listener, each a task.
struct Clients {
    tasks: JoinSet<()>,
    /// For the log entry of a task that has panicked, which is written outside it.
    spans: HashMap<Id, Span>,
    state: Arc<ServerState>,
}

impl Clients {
    fn spawn(&mut self, (socket, peer): (Socket, String), stop: Shutdown, permits: Permits) {
        let span = info_span!("connection", peer, export = field::Empty);
        let client = serve(socket, Arc::clone(&self.state), stop, permits);
        let task = self.tasks.spawn(client.instrument(span.clone()));
        self.spans.insert(task.id(), span);
    }

    /// Waits for a connection to end; `None` when there is none. Cancel-safe.
    async fn join_next(&mut self) -> Option<()> {
        let ended = self.tasks.join_next_with_id().await?;
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        let span = self.spans.remove(&id);
        if let Err(error) = ended {
            let _entered = span.as_ref().map(Span::enter);
            let panics = self.state.count_panic();
            error!(%error, panics, "connection ended by a panic");
        }
        Some(())
    }
}

/// Accepts clients from one listener until the server shuts down, then waits for
/// them.
async fn accept_loop(mut listener: Listener, state: Arc<ServerState>, mut stop: Shutdown) {
    let mut clients = Clients {
        tasks: JoinSet::new(),
        spans: HashMap::new(),
        state: Arc::clone(&state),
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.requested() => break,
            Some(()) = clients.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(client) => {
                if let Some(permits) = state.admit(&mut stop).await {
                    clients.spawn(client, stop.clone(), permits);
                }
            }
            Err(error) => {
                error!(%error, %listener, "cannot accept a connection");
                sleep(ACCEPT_RETRY_INTERVAL).await;
            }
        }
    }
    drop(listener);
    while clients.join_next().await.is_some() {}
}

async fn serve(socket: Socket, state: Arc<ServerState>, stop: Shutdown, permits: Permits) {
    let Permits {
        connection,
        handshake,
    } = permits;
    let context = Arc::clone(&state.context);
    let ended = match (socket, &state.tls) {
        (Socket::Tcp(stream), Some(tls)) => {
            connection::serve_tls(stream, tls, context, stop, handshake).await
        }
        (Socket::Tcp(stream), None) => connection::serve(stream, context, stop, handshake).await,
        (Socket::Unix(stream), _) => connection::serve(stream, context, stop, handshake).await,
    };
    drop(connection);
    match ended {
        Ok(()) => debug!("connection closed"),
        Err(error @ ConnectionError::Io(_)) => info!(%error, "connection ended"),
        Err(error @ ConnectionError::ExportPanicked(_)) => {
            let panics = state.count_panic();
            error!(%error, panics, "connection ended by a panic");
        }
        Err(error) => warn!(%error, "connection ended"),
    }
}
