//! Listens, and serves every client in a task of its own, until told to end.

mod listener;
mod socket;
mod stdio;
mod systemd;

#[cfg(test)]
mod tests;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{Instrument, debug, error, field, info, info_span, warn};

pub use self::listener::{BindError, Bound, Listener};
use self::socket::Socket;
pub use self::stdio::serve_stdio;
pub use self::systemd::inherited_listeners;
use crate::server::connection;
use crate::{ConnectionError, Context, Exports, Limits, Shutdown, ShutdownTrigger};

/// How long nothing is accepted when accepting failed, for want of file
/// descriptors most likely.
const BREATH: Duration = Duration::from_millis(100);

/// An NBD server, bound and ready to run.
pub struct Server {
    /// Where it listens; bound already.
    pub listeners: Vec<Listener>,
    /// What it allows its clients.
    pub limits: Limits,
    /// Where TCP is secret: then nothing is served in the clear. Unix sockets
    /// do not leave the host.
    pub tls: Option<TlsAcceptor>,
    /// What it serves.
    pub exports: Arc<dyn Exports>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Server")
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Serves until `shutdown` is there; then accepts nobody any more, lets
    /// requests in flight finish, and ends after `limits.drain_time` at the
    /// latest.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let drain_time = self.limits.drain_time;
        let (trigger, stop) = ShutdownTrigger::new();
        let hall = Arc::new(Hall::new(self.exports, self.limits, self.tls));
        let doors = self.listeners.into_iter();
        let doors = doors.map(|listener| accept_loop(listener, Arc::clone(&hall), stop.clone()));
        let mut doors = pin!(join_all(doors));
        tokio::select! {
            _ = &mut doors => return,
            () = shutdown => trigger.trigger(),
        }
        info!("shutting down");
        if timeout(drain_time, doors).await.is_err() {
            warn!(?drain_time, "connections were cut that did not end in time");
        }
    }
}

/// What all listeners share: who is in already.
struct Hall {
    context: Arc<Context>,
    tls: Option<TlsAcceptor>,
    handshakes: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    /// Whether the last client found no place; said once, not for each.
    full: AtomicBool,
}

impl Hall {
    fn new(exports: Arc<dyn Exports>, limits: Limits, tls: Option<TlsAcceptor>) -> Self {
        let places = |count: usize| Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)));
        Self {
            context: Context::new(exports, limits),
            tls,
            handshakes: places(limits.handshakes),
            connections: places(limits.connections),
            full: AtomicBool::new(false),
        }
    }

    /// Places for one more client, unless the server is full. Where too many
    /// are in the handshake, it waits until one of them is through.
    async fn enter(&self, stop: &mut Shutdown) -> Option<Places> {
        let connection = Arc::clone(&self.connections).try_acquire_owned().ok();
        let was_full = self.full.swap(connection.is_none(), Ordering::Relaxed);
        if connection.is_none() && !was_full {
            let limit = self.context.limits().connections;
            warn!(
                limit,
                "no place for more connections: they are closed at once"
            );
        }
        let connection = connection?;
        let handshake = tokio::select! {
            () = stop.requested() => return None,
            handshake = Arc::clone(&self.handshakes).acquire_owned() => handshake.ok()?,
        };
        Some(Places {
            connection,
            handshake,
        })
    }
}

/// What a client occupies; the second only until it is through.
struct Places {
    connection: OwnedSemaphorePermit,
    handshake: OwnedSemaphorePermit,
}

/// Accepts from one listener, and waits for its clients in the end.
async fn accept_loop(mut listener: Listener, hall: Arc<Hall>, mut stop: Shutdown) {
    let mut clients = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.requested() => break,
            Some(ended) = clients.join_next() => {
                report(ended);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => {
                if let Some(places) = hall.enter(&mut stop).await {
                    let span = info_span!("connection", peer, export = field::Empty);
                    let client = serve(socket, Arc::clone(&hall), stop.clone(), places);
                    clients.spawn(client.instrument(span));
                }
            }
            Err(error) => {
                error!(%error, %listener, "cannot accept a connection");
                sleep(BREATH).await;
            }
        }
    }
    drop(listener);
    while let Some(ended) = clients.join_next().await {
        report(ended);
    }
}

async fn serve(socket: Socket, hall: Arc<Hall>, stop: Shutdown, places: Places) {
    let Places {
        connection,
        handshake,
    } = places;
    let context = Arc::clone(&hall.context);
    let ended = match (socket, &hall.tls) {
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
        Err(error) => warn!(%error, "connection ended"),
    }
}

/// A client's task that panicked took nobody with it.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        error!(%error, "a connection's task failed");
    }
}
