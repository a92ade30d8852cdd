//! Listens, and serves every client in a task of its own until the server is shut
//! down.

mod inherited;
mod listener;
mod socket;
mod stdio;
mod watch;

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fmt,
    future::pending,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::{
    task::{Id, JoinError, JoinSet},
    time::{sleep, timeout},
};
use tracing::{Instrument, Span, debug, error, error_span, field, info, warn};

use self::socket::Socket;
pub use self::{
    inherited::inherited_listeners,
    listener::{BindError, Bound, Listener},
    stdio::serve_stdio,
    watch::Watch,
};
use super::{
    admission::Admission,
    connection,
    context::Context,
    error::ConnectionError,
    figures::{Ending, Refused as RefusedBy},
    limits::Limits,
    shutdown::{Shutdown, ShutdownTrigger},
};
use crate::{
    budget::{Full, Peer, Place, Places, Spender},
    export::Exports,
    identity::Identity,
    tls::ServerTls,
};

/// How long a listener pauses after accept(2) has failed, as it does when no file
/// descriptor is free.
const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// How often the log says at most that clients find no place.
const REFUSED_INTERVAL: Duration = Duration::from_secs(1);

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
    /// With certificates, TCP is served by TLS only (proto.md, "FORCEDTLS mode").
    /// Unix sockets do not leave the host, and are always served without.
    pub tls: Option<Arc<ServerTls>>,
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
        self.ready().run(shutdown).await;
    }

    /// The same server, for who wants to see what it does.
    #[must_use]
    pub fn ready(self) -> ReadyServer {
        ReadyServer {
            listeners: self.listeners,
            state: Arc::new(ServerState::new(self.exports, self.limits, self.tls)),
        }
    }
}

/// A [`Server`] of which one can see what it does.
pub struct ReadyServer {
    listeners: Vec<Listener>,
    state: Arc<ServerState>,
}

impl fmt::Debug for ReadyServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ReadyServer")
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}

impl ReadyServer {
    /// Shows what the server does, before, while and after it runs.
    #[must_use]
    pub fn watch(&self) -> Watch {
        let ServerState {
            context,
            handshakes,
            connections,
            panics,
            ..
        } = &*self.state;
        Watch {
            context: Arc::clone(context),
            handshakes: Arc::clone(handshakes),
            connections: Arc::clone(connections),
            panics: Arc::clone(panics),
        }
    }

    /// As [`Server::run`].
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { listeners, state } = self;
        let drain_time = state.context.limits.drain_time;
        let (trigger, stop) = ShutdownTrigger::new();
        let listeners = listeners.into_iter();
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
    tls: Option<Arc<ServerTls>>,
    handshakes: Arc<Places>,
    connections: Arc<Places>,
    refused: Mutex<Refused>,
    /// How many connections a panic has ended.
    panics: Arc<AtomicU64>,
}

impl ServerState {
    fn new(exports: Arc<dyn Exports>, limits: Limits, tls: Option<Arc<ServerTls>>) -> Self {
        let Limits {
            handshakes,
            peer_handshakes,
            connections,
            peer_connections,
            idle_time,
            ..
        } = limits;
        Self {
            context: Context::new(exports, limits),
            tls,
            handshakes: Places::new(handshakes, peer_handshakes, Duration::ZERO),
            connections: Places::new(connections, peer_connections, idle_time),
            refused: Mutex::default(),
            panics: Arc::default(),
        }
    }

    /// A place for one more client; `None` when there is none for its peer.
    fn admit(&self, identity: Identity) -> Option<Admission> {
        let spender = identity.spender;
        let places = || {
            let connection = self.connections.take(spender);
            let connection = connection.map_err(|full| (RefusedBy::connection(full), full))?;
            let handshake = self.handshakes.take(spender);
            let handshake = handshake.map_err(|full| (RefusedBy::handshake(full), full))?;
            Ok((connection, handshake))
        };
        match places() {
            Ok((connection, handshake)) => {
                self.context.counters.accept();
                Some(Admission {
                    identity,
                    handshake: Some(handshake),
                    connection: Some(Arc::new(connection)),
                })
            }
            Err((by, full)) => {
                self.context.counters.refuse(by);
                self.log_refused(spender.peer, by, full);
                None
            }
        }
    }

    /// A line a second at most, however many are refused.
    fn log_refused(&self, peer: Peer, limit: RefusedBy, full: Full) {
        let mut refused = self.refused.lock().expect("no holder of this lock panics");
        refused.count = refused.count.saturating_add(1);
        let recent = |at: Instant| at.elapsed() < REFUSED_INTERVAL;
        if refused.logged.is_some_and(recent) {
            return;
        }
        let count = refused.count;
        warn!(%peer, ?limit, reason = %full, refused = count, "connections are closed at once");
        *refused = Refused {
            logged: Some(Instant::now()),
            count: 0,
        };
    }

    /// Counts a panic; returns how many there were.
    fn count_panic(&self) -> u64 {
        let before = self.panics.fetch_add(1, Ordering::Relaxed);
        before.saturating_add(1)
    }
}

/// Connections that found no place since the last line in the log.
#[derive(Debug, Default)]
struct Refused {
    logged: Option<Instant>,
    count: u64,
}

/// The connections of one listener, each a task.
struct Clients {
    tasks: JoinSet<()>,
    /// For the log entry of a task that has panicked, which is written outside it.
    spans: HashMap<Id, Span>,
    state: Arc<ServerState>,
}

impl Clients {
    fn spawn(&mut self, (socket, name): (Socket, String), stop: Shutdown, admission: Admission) {
        let Spender {
            peer,
            connection: id,
        } = admission.identity.spender;
        // Whatever is logged, it says which connection it is about.
        let span = error_span!(
            "connection",
            id,
            peer = name,
            user = field::Empty,
            export = field::Empty
        );
        if let Peer::User(user) = peer {
            span.record("user", user);
        }
        let client = serve(socket, Arc::clone(&self.state), stop, admission);
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
            self.state.context.counters.end(Ending::Panic);
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
            Ok((socket, name, identity)) => {
                if let Some(admission) = state.admit(identity) {
                    clients.spawn((socket, name), stop.clone(), admission);
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

async fn serve(socket: Socket, state: Arc<ServerState>, stop: Shutdown, admission: Admission) {
    let context = Arc::clone(&state.context);
    let silent = until_evicted(admission.handshake.as_ref());
    let idle = until_evicted(admission.connection.as_deref());
    let client = async {
        match (socket, &state.tls) {
            (Socket::Tcp(stream), Some(tls)) => {
                connection::serve_tls(stream, &tls.acceptor(), context, stop, admission).await
            }
            (Socket::Tcp(stream), None) => {
                connection::serve(stream, context, stop, admission).await
            }
            (Socket::Unix(stream), _) => connection::serve(stream, context, stop, admission).await,
        }
    };
    let ended = tokio::select! {
        ended = client => ended,
        () = silent => Err(ConnectionError::Evicted("silent in the handshake")),
        () = idle => Err(ConnectionError::Evicted("idle")),
    };
    state.context.counters.end(Ending::of(&ended));
    match ended {
        Ok(()) => debug!("connection closed"),
        Err(error @ ConnectionError::Evicted(_)) => debug!(%error, "connection ended"),
        Err(error @ ConnectionError::Io(_)) => info!(%error, "connection ended"),
        Err(error @ ConnectionError::ExportPanicked(_)) => {
            let panics = state.count_panic();
            error!(%error, panics, "connection ended by a panic");
        }
        Err(error) => warn!(%error, "connection ended"),
    }
}

/// Waits until the place must be given up; for ever where none is counted.
fn until_evicted(place: Option<&Place>) -> impl Future<Output = ()> + Send + use<> {
    let must_go = place.map(Place::must_go);
    async move {
        match must_go {
            Some(must_go) => must_go.await,
            None => pending().await,
        }
    }
}
