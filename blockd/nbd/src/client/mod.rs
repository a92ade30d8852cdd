//! A client that reads one export, with many reads in flight over several
//! connections.
//!
//! ```text
//! Client ─┬─ Connection ─ InFlight ─ socket
//!         ├─ Connection …            reads go to the least loaded one
//!         └─ …
//! ```
//!
//! A client does not reconnect by itself: reads on a connection that ends fail
//! with the reason, and [`Client::ensure_connections`] replaces it. When and how
//! often to retry is the caller's policy.
//!
//! What a server sends is never trusted: no allocation follows a number of its
//! own beyond the request, and a violation of the protocol ends the connection
//! with [`Error::Protocol`].

mod allocation;
mod connect;
mod connection;
mod error;
mod first_of;
mod handshake;
mod in_flight;
mod liveness;
mod receiver;
mod reply;
mod request;
mod start_tls;
mod stream;

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, RwLock, RwLockReadGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(crate) use self::stream::Stream;
pub use self::{
    allocation::allocation,
    connect::info,
    error::{Error, Result},
    first_of::first_of,
    handshake::Offer,
};
use self::{connect::open, connection::Connection, liveness::Liveness};
use crate::{
    export::ExportInfo,
    token::{Asked, Token},
    uri::Address,
    width::to_usize,
};

/// The longest request, in bytes, to a server that states no maximum (proto.md,
/// "Size constraints").
const MAX_READ: u32 = 32 << 20;
/// Bytes that may be in flight on all connections of a client; further reads
/// wait.
const MAX_IN_FLIGHT: u32 = 64 << 20;
/// What the shortest read counts as, in bytes: its bookkeeping takes memory too.
const MIN_CHARGE: u32 = 16 << 10;

/// An open export.
///
/// Dropping it sends `NBD_CMD_DISC` on every connection; reads in flight fail.
#[derive(Debug)]
pub struct Client {
    address: Address,
    token: Option<Token>,
    offer: Offer,
    /// Never empty. Ended ones stay until they are replaced.
    connections: RwLock<Vec<Arc<Connection>>>,
    turn: AtomicUsize,
    in_flight: Arc<Semaphore>,
    liveness: Arc<Liveness>,
}

impl Client {
    /// Opens `export` over one connection.
    ///
    /// # Errors
    ///
    /// As [`info`].
    pub async fn open<'a>(address: &Address, export: impl Into<Asked<'a>>) -> Result<Self> {
        let export = export.into();
        let (stream, offer) = open(address, export).await?;
        Ok(Self::over(stream, offer, address, export.token))
    }

    /// A client with one connection, which is in the transmission phase.
    fn over(
        stream: Box<dyn Stream>,
        offer: Offer,
        address: &Address,
        token: Option<&Token>,
    ) -> Self {
        let liveness = Arc::new(Liveness::new());
        let first = Connection::start(stream, offer.structured, Arc::clone(&liveness));
        Self {
            address: address.clone(),
            token: token.cloned(),
            offer,
            connections: RwLock::new(vec![Arc::new(first)]),
            turn: AtomicUsize::new(0),
            in_flight: Arc::new(Semaphore::new(to_usize(MAX_IN_FLIGHT))),
            liveness,
        }
    }

    /// The handshake and the transmission phase over a stream that is there already.
    ///
    /// # Errors
    ///
    /// As [`info`], but for those of the connect.
    pub(crate) async fn handshake(
        mut stream: Box<dyn Stream>,
        address: &Address,
        export: &str,
    ) -> Result<Self> {
        handshake::greet(&mut stream)
            .await
            .map_err(Error::protocol)?;
        let offer = handshake::go(&mut stream, export.into()).await?;
        Ok(Self::over(stream, offer, address, None))
    }

    /// Opens `export` over this many connections, or over one if the server does
    /// not advertise `NBD_FLAG_CAN_MULTI_CONN`.
    ///
    /// # Errors
    ///
    /// As [`Client::ensure_connections`].
    pub async fn connect<'a>(
        address: &Address,
        export: impl Into<Asked<'a>>,
        connections: NonZeroUsize,
    ) -> Result<Self> {
        let client = Self::open(address, export).await?;
        client.ensure_connections(connections).await?;
        Ok(client)
    }

    /// Opens connections until this many are live, and drops those that have
    /// ended. Without `NBD_FLAG_CAN_MULTI_CONN` it does nothing. Reads go on
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// As [`info`], and [`Error::Protocol`] when a new connection shows an export
    /// of another size or name.
    pub async fn ensure_connections(&self, connections: NonZeroUsize) -> Result<()> {
        if !self.offer.multi_conn {
            return Ok(());
        }
        // More may be live than asked for, from an earlier call.
        let missing = connections.get().saturating_sub(self.live_connections());
        let export = Asked {
            name: &self.offer.info.name,
            token: self.token.as_ref(),
        };
        for opened in future::join_all((0..missing).map(|_| open(&self.address, export))).await {
            let (stream, offer) = opened?;
            if !self.offer.is_same_disk(&offer) {
                return Err(Error::protocol(
                    "two connections to one export show two disks",
                ));
            }
            let liveness = Arc::clone(&self.liveness);
            let connection = Arc::new(Connection::start(stream, offer.structured, liveness));
            self.add(connection);
        }
        Ok(())
    }

    /// Adds a connection, and drops those that have ended.
    fn add(&self, connection: Arc<Connection>) {
        let mut connections = self.connections.write().expect(UNPOISONED);
        connections.retain(|connection| connection.load().is_some());
        connections.push(connection);
    }

    /// What the server says of the export.
    pub fn info(&self) -> &ExportInfo {
        &self.offer.info
    }

    /// What the server says of the export and of how it may be used.
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// The number of connections that have not ended.
    pub fn live_connections(&self) -> usize {
        let connections = self.connections();
        let live = connections.iter().filter_map(|each| each.load());
        live.count()
    }

    /// Waits until a connection has ended. An end that nobody waited for is
    /// reported to the next call. Cancel-safe.
    pub async fn connection_ended(&self) {
        self.liveness.connection_ended.notified().await;
    }

    /// Why the latest connection that has ended did; `None` if all are live.
    pub fn last_error(&self) -> Option<Error> {
        let connections = self.connections();
        connections.iter().rev().find_map(|each| each.ended())
    }

    /// Whether the server has answered a read after `then`.
    pub fn answered_since(&self, then: Instant) -> bool {
        self.liveness.answered_since(then)
    }

    /// Ends every connection on which a read has waited for longer than
    /// `timeout`; its reads fail with [`Error::Lost`].
    pub fn abort_stalled(&self, timeout: Duration) {
        for connection in self.connections().iter() {
            let oldest = connection.oldest();
            if oldest.is_some_and(|since| since.elapsed() > timeout) {
                let text = format!("no answer in {} s", timeout.as_secs_f32());
                connection.abort(&Error::Lost(text.into()));
            }
        }
    }

    /// Ends all connections; reads in flight fail with [`Error::Lost`] and this
    /// reason.
    pub fn close(&self, reason: &str) {
        for connection in self.connections().iter() {
            connection.abort(&Error::Lost(reason.into()));
        }
    }

    /// The longest read, in bytes: the server's maximum, at most 32 MiB.
    pub fn maximum_read(&self) -> u32 {
        self.info().block_size.maximum.min(MAX_READ)
    }

    /// Reads `length` bytes at `offset`, on the connection with the fewest reads
    /// in flight. Waits while 64 MiB are in flight on this client.
    ///
    /// Dropping the future does not cancel the request; its reply is discarded.
    ///
    /// # Errors
    ///
    /// [`Error::Range`] before anything is sent; [`Error::Remote`] when the server
    /// cannot read; [`Error::Lost`] or [`Error::Protocol`] when the connection ends
    /// before the reply.
    pub async fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        let size = self.info().size;
        let fits = offset
            .checked_add(length.into())
            .is_some_and(|end| end <= size);
        if !fits || length > self.maximum_read() {
            return Err(Error::Range {
                offset,
                length,
                size,
            });
        }
        if length == 0 {
            return Ok(Vec::new());
        }
        let permit = self.reserve(length).await;
        self.least_loaded().read(offset, length, permit).await
    }

    /// Waits until `length` more bytes may be in flight.
    async fn reserve(&self, length: u32) -> OwnedSemaphorePermit {
        let in_flight = Arc::clone(&self.in_flight);
        let permit = in_flight.acquire_many_owned(length.max(MIN_CHARGE)).await;
        permit.expect("nobody closes the semaphore")
    }

    fn connections(&self) -> RwLockReadGuard<'_, Vec<Arc<Connection>>> {
        self.connections.read().expect(UNPOISONED)
    }

    /// Connections that have ended come last, so that their error shows only
    /// when no other is left; equally loaded ones take turns.
    fn least_loaded(&self) -> Arc<Connection> {
        const NOT_EMPTY: &str = "a client has at least one connection";
        let connections = self.connections();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let turn = turn.checked_rem(connections.len()).expect(NOT_EMPTY);
        let (early, late) = connections.split_at(turn);
        let chosen = late.iter().chain(early).min_by_key(|connection| {
            let load = connection.load();
            (load.is_none(), load)
        });
        Arc::clone(chosen.expect(NOT_EMPTY))
    }
}

const UNPOISONED: &str = "nothing panics while it holds this lock";
