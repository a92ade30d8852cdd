//! Reading all data of the disk in the background, from its front to its end.

use std::{
    ops::Range,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::{
    task::{JoinSet, spawn_blocking},
    time::sleep,
};
use tracing::{info, warn};

use super::{Cache, Snapshot, cannot_write, store::Store};
use crate::relay::{buffer::part_length, protocol::Hydration};

/// Reads in flight at once.
const MAX_READS: usize = 4;
/// Bytes of the longest piece, and of the shortest.
const MAX_PIECE: u64 = 1 << 20;
const MIN_PIECE: u64 = 32 << 10;
/// Bytes of the first piece, as it is not known how quick the servers are.
const FIRST_PIECE: u64 = 256 << 10;
/// Bytes of a piece when what could not be read is tried again.
const RETRY_PIECE: u64 = 4 << 10;
/// After a piece that took longer, pieces are shorter: reads on demand wait
/// behind them.
const SLOW: Duration = Duration::from_millis(500);
/// After a piece that took less, pieces are longer.
const QUICK: Duration = Duration::from_millis(150);
/// How long to wait for reads on demand, before going on beside them.
const DEMAND_TIMEOUT: Duration = Duration::from_millis(100);
const DEMAND_INTERVAL: Duration = Duration::from_millis(5);

/// Hydrates until all is cached that the servers can read.
pub(super) async fn run(cache: Arc<Cache>, store: Arc<Store>) {
    let mut unread = None;
    // What could not be read is tried again in small pieces, so that no more
    // than these are missing.
    for longest in [MAX_PIECE, RETRY_PIECE] {
        let mut pass = Pass::new(&cache, &store, longest);
        match pass.run().await {
            Ok(()) => unread = pass.unread,
            Err(reason) => return cache.give_up(&store, &reason),
        }
        if unread.is_none() {
            break;
        }
    }
    if !cache.is_current(&store) {
        return;
    }
    let state = match &unread {
        None => {
            info!("hydrated: no server is needed any more");
            Hydration::Hydrated
        }
        Some(reason) => {
            warn!("hydrated but for what no server can read: {reason}");
            Hydration::Incomplete
        }
    };
    cache.set(Snapshot {
        store: Some(store),
        state,
        reason: unread,
    });
}

/// The result of one piece.
enum Piece {
    /// It was stored; reading it took so long.
    Stored(Duration),
    /// All servers say that they cannot read it.
    Unread(String),
    /// The cache cannot be written.
    Lost(String),
}

/// One pass over the disk.
struct Pass<'a> {
    cache: &'a Arc<Cache>,
    store: &'a Arc<Store>,
    /// Bytes of a piece, at most.
    longest: u64,
    /// Bytes of the next piece.
    length: u64,
    reads: JoinSet<Piece>,
    /// Why a piece could not be read.
    unread: Option<String>,
}

impl<'a> Pass<'a> {
    fn new(cache: &'a Arc<Cache>, store: &'a Arc<Store>, longest: u64) -> Self {
        let maximum = u64::from(cache.ahead.pool().disk().info().block_size.maximum);
        let longest = longest.min(maximum).max(store.unit());
        Self {
            cache,
            store,
            longest,
            length: FIRST_PIECE.min(longest),
            reads: JoinSet::new(),
            unread: None,
        }
    }

    /// Reads all that is absent. The error says why there is no cache any more.
    async fn run(&mut self) -> Result<(), String> {
        for run in self.store.data() {
            let mut at = run.start;
            while let Some(piece) = self.next_piece(at..run.end) {
                at = piece.end;
                self.give_way().await?;
                self.read(piece);
            }
        }
        while !self.reads.is_empty() {
            self.finish_one().await?;
        }
        Ok(())
    }

    /// The first absent part of a range, as long as one piece.
    fn next_piece(&self, range: Range<u64>) -> Option<Range<u64>> {
        let parts = self.store.split(range);
        let (_, Range { start, end }) = parts.into_iter().find(|(is_cached, _)| !is_cached)?;
        // Up to a whole number of units.
        let longest = (start + self.length) / self.store.unit() * self.store.unit();
        Some(start..end.min(longest.max(start + self.store.unit())))
    }

    /// Waits until the next piece may be read: reads on demand go first.
    async fn give_way(&mut self) -> Result<(), String> {
        let is_demanded = |cache: &Cache| cache.demand.load(Ordering::Relaxed) > 0;
        let begun = Instant::now();
        while is_demanded(self.cache) && begun.elapsed() < DEMAND_TIMEOUT {
            sleep(DEMAND_INTERVAL).await;
        }
        let reads = if is_demanded(self.cache) {
            1
        } else {
            MAX_READS
        };
        while self.reads.len() >= reads {
            self.finish_one().await?;
        }
        Ok(())
    }

    fn read(&mut self, piece: Range<u64>) {
        let (cache, store) = (Arc::clone(self.cache), Arc::clone(self.store));
        self.reads.spawn(async move {
            let begun = Instant::now();
            let length = part_length(piece.end - piece.start);
            let bytes = match cache.ahead.pool().fetch(piece.start, length).await {
                Ok(bytes) => bytes,
                Err(error) => return Piece::Unread(error.to_string()),
            };
            let took = begun.elapsed();
            let written = spawn_blocking(move || store.write(piece.start, &bytes)).await;
            match written {
                Ok(Ok(())) => Piece::Stored(took),
                Ok(Err(error)) => Piece::Lost(cannot_write(&error)),
                Err(error) => Piece::Lost(error.to_string()),
            }
        });
    }

    async fn finish_one(&mut self) -> Result<(), String> {
        match self.reads.join_next().await {
            Some(Ok(Piece::Stored(took))) => self.adapt(took),
            Some(Ok(Piece::Unread(reason))) => self.unread = Some(reason),
            Some(Ok(Piece::Lost(reason))) => return Err(reason),
            Some(Err(error)) => return Err(error.to_string()),
            None => {}
        }
        if self.cache.is_current(self.store) {
            Ok(())
        } else {
            Err("the cache was given up".to_owned())
        }
    }

    /// Makes pieces longer as long as the servers are quick.
    fn adapt(&mut self, took: Duration) {
        if took > SLOW {
            self.length = (self.length / 2).max(MIN_PIECE);
        } else if took < QUICK {
            self.length *= 2;
        }
        self.length = self.length.min(self.longest);
    }
}
