//! A client: reads of one export, pipelined over several connections.
//!
//! A connection that is over is replaced by [`Client::widen`], which the user
//! calls: when, how often and how long is the business of who retries (the
//! relay). Reads on a connection that ends fail with the reason.

mod allocation;
mod connection;
mod error;
mod first;
mod handshake;
mod pulse;
mod receiver;
mod reply;
mod secure;
mod stream;

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future;
use tokio::sync::Semaphore;

pub use self::{
    allocation::allocation,
    error::{Error, Result},
    first::first_of,
    handshake::Offer,
};
use self::{connection::Connection, pulse::Pulse, stream::Stream};
use crate::ExportInfo;
use crate::uri::Address;

/// How long a server may take from the connect to the end of the handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// What proto.md lets a client ask for when the server says nothing.
const MAXIMUM_READ: u32 = 32 << 20;
/// Bytes that one server may owe us; more reads wait.
const IN_FLIGHT: u32 = 64 << 20;
/// A read costs memory of its own, so the smallest counts as this much.
const SMALLEST_SHARE: u32 = 16 << 10;

/// Asks a server about an export, without opening it.
pub async fn info(address: &Address, export: &str) -> Result<Offer> {
    let asked = async {
        let mut stream = greeted(address).await?;
        handshake::info(&mut stream, export).await
    };
    in_time(address, asked).await
}

/// An open export.
#[derive(Debug)]
pub struct Client {
    address: Address,
    offer: Offer,
    connections: RwLock<Vec<Arc<Connection>>>,
    turn: AtomicUsize,
    budget: Arc<Semaphore>,
    pulse: Arc<Pulse>,
}

impl Client {
    /// Opens `export` over one connection.
    pub async fn open(address: &Address, export: &str) -> Result<Self> {
        let (stream, offer) = open(address, export).await?;
        let pulse = Arc::new(Pulse::new());
        let first = Connection::start(stream, offer.structured, Arc::clone(&pulse));
        let permits = usize::try_from(IN_FLIGHT).unwrap_or(Semaphore::MAX_PERMITS);
        Ok(Self {
            address: address.clone(),
            offer,
            connections: RwLock::new(vec![Arc::new(first)]),
            turn: AtomicUsize::new(0),
            budget: Arc::new(Semaphore::new(permits)),
            pulse,
        })
    }

    /// Opens `export` over so many connections, or over one when the server
    /// does not say that several see the same disk.
    pub async fn connect(
        address: &Address,
        export: &str,
        connections: NonZeroUsize,
    ) -> Result<Self> {
        let client = Self::open(address, export).await?;
        client.widen(connections).await?;
        Ok(client)
    }

    /// Opens connections, in the place of those that are over too, until there
    /// are so many; reads go on meanwhile.
    pub async fn widen(&self, connections: NonZeroUsize) -> Result<()> {
        let more = connections.get().saturating_sub(self.alive());
        let more = if self.offer.multi_conn { more } else { 0 };
        let name = &self.offer.info.name;
        for opened in future::join_all((0..more).map(|_| open(&self.address, name))).await {
            let (stream, offer) = opened?;
            if !self.offer.shows_the_disk_of(&offer) {
                return Err(Error::protocol(
                    "two connections to one export see two disks",
                ));
            }
            let pulse = Arc::clone(&self.pulse);
            let connection = Arc::new(Connection::start(stream, offer.structured, pulse));
            let mut connections = self
                .connections
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            connections.retain(|connection| connection.load().is_some());
            connections.push(connection);
        }
        Ok(())
    }

    /// What the server said of the export.
    pub fn info(&self) -> &ExportInfo {
        &self.offer.info
    }

    /// The same, and how it may be used.
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// How many connections are alive.
    pub fn alive(&self) -> usize {
        self.connections()
            .iter()
            .filter_map(|connection| connection.load())
            .count()
    }

    /// Waits until a connection has ended (since the last time one asked).
    pub async fn ended(&self) {
        self.pulse.ended.notified().await;
    }

    /// Why a connection has ended.
    pub fn last_error(&self) -> Option<Error> {
        let connections = self.connections();
        connections
            .iter()
            .rev()
            .find_map(|connection| connection.over())
    }

    /// Whether the server has answered anything since then.
    pub fn answered_since(&self, then: Instant) -> bool {
        self.pulse.beat_since(then)
    }

    /// How long the server owes us its oldest answer.
    pub fn silence(&self) -> Option<Duration> {
        let connections = self.connections();
        let oldest = connections
            .iter()
            .filter_map(|connection| connection.waits_since());
        oldest.min().map(|since| since.elapsed())
    }

    /// Ends connections on which a read has waited for longer than this.
    pub fn cut_after(&self, patience: Duration) {
        for connection in self.connections().iter() {
            let since = connection.waits_since();
            if since.is_some_and(|since| since.elapsed() > patience) {
                let text = format!("no answer in {} s", patience.as_secs_f32());
                connection.abort(&Error::Lost(text.into()));
            }
        }
    }

    /// Ends all connections.
    pub fn close(&self, reason: &str) {
        for connection in self.connections().iter() {
            connection.abort(&Error::Lost(reason.into()));
        }
    }

    /// The most one read may ask for.
    pub fn maximum_read(&self) -> u32 {
        self.info().block_size.maximum.min(MAXIMUM_READ)
    }

    /// Reads `length` bytes at `offset`, on the connection with the fewest
    /// reads in flight.
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
        let share = Arc::clone(&self.budget).acquire_many_owned(length.max(SMALLEST_SHARE));
        let share = share
            .await
            .map_err(|_| Error::Lost("it was closed".into()))?;
        self.least_loaded().read(offset, length, share).await
    }

    /// Nothing panics while it holds this lock, so it cannot be poisoned.
    fn connections(&self) -> RwLockReadGuard<'_, Vec<Arc<Connection>>> {
        self.connections
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Dead connections come last, so that their error shows only when none
    /// is left; equal ones take turns.
    fn least_loaded(&self) -> Arc<Connection> {
        let connections = self.connections();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let turn = turn.checked_rem(connections.len()).unwrap_or(0);
        let (early, late) = connections.split_at(turn);
        let chosen = late
            .iter()
            .chain(early)
            .min_by_key(|connection| connection.load().unwrap_or(usize::MAX));
        Arc::clone(chosen.expect("a client has at least one connection"))
    }
}

async fn open(address: &Address, export: &str) -> Result<(Box<dyn Stream>, Offer)> {
    let opened = async {
        let mut stream = greeted(address).await?;
        let offer = handshake::go(&mut stream, export).await?;
        Ok((stream, offer))
    };
    in_time(address, opened).await
}

async fn greeted(address: &Address) -> Result<Box<dyn Stream>> {
    let mut stream = stream::connect(address).await?;
    handshake::greet(&mut stream)
        .await
        .map_err(|reason| Error::NotNbd {
            address: address.to_string(),
            reason,
        })?;
    match address {
        Address::Tcp {
            host,
            tls: Some(tls),
            ..
        } => secure::secure(stream, address, (host, tls)).await,
        _ => Ok(stream),
    }
}

async fn in_time<T>(address: &Address, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(HANDSHAKE, work)
        .await
        .unwrap_or_else(|_| Err(Error::TimedOut(format!("the handshake with {address}"))))
}
