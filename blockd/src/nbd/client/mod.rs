//! A client: reads of one export, pipelined over several connections.
//!
//! It never reconnects: when a connection is over, every read on it fails with
//! the reason. What retries (a relay) sits on top.

mod connection;
mod error;
mod handshake;
mod reply;
mod stream;

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future;

use self::{connection::Connection, stream::Stream};
pub use self::{
    error::{Error, Result},
    handshake::Offer,
};
use super::ExportInfo;
use crate::uri::Address;

/// How long a server may take from the connect to the end of the handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// What proto.md lets a client ask for when the server says nothing.
const MAXIMUM_READ: u32 = 32 << 20;

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
}

impl Client {
    /// Opens `export` over one connection.
    pub async fn open(address: &Address, export: &str) -> Result<Self> {
        let (stream, offer) = open(address, export).await?;
        let first = Arc::new(Connection::start(stream, offer.structured));
        Ok(Self {
            address: address.clone(),
            offer,
            connections: RwLock::new(vec![first]),
            turn: AtomicUsize::new(0),
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

    /// Opens more connections, up to so many; reads go on meanwhile.
    pub async fn widen(&self, connections: NonZeroUsize) -> Result<()> {
        let more = connections.get().saturating_sub(self.connections().len());
        let more = if self.offer.multi_conn { more } else { 0 };
        let name = &self.offer.info.name;
        for opened in future::join_all((0..more).map(|_| open(&self.address, name))).await {
            let (stream, offer) = opened?;
            if offer.info != self.offer.info {
                return Err(Error::protocol(
                    "two connections to one export see two disks",
                ));
            }
            let connection = Arc::new(Connection::start(stream, offer.structured));
            self.connections
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
        }
        Ok(())
    }

    /// What the server said of the export.
    pub fn info(&self) -> &ExportInfo {
        &self.offer.info
    }

    /// How many connections are alive.
    pub fn alive(&self) -> usize {
        self.connections()
            .iter()
            .filter_map(|connection| connection.load())
            .count()
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
        self.least_loaded().read(offset, length).await
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
    Ok(stream)
}

async fn in_time<T>(address: &Address, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(HANDSHAKE, work)
        .await
        .unwrap_or_else(|_| Err(Error::TimedOut(format!("the handshake with {address}"))))
}
