//! Reading the whole disk in the background, from its front to its end.

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

use super::{Cache, cannot_write, store::Store};
use crate::relay::protocol::Hydration;

/// Reads under way at once.
const WINDOW: usize = 4;
/// The most that is read at once, and the least.
const LONGEST: u64 = 1 << 20;
const SHORTEST: u64 = 32 << 10;
/// What is read first, when it is not known how quick the servers are.
const FIRST: u64 = 256 << 10;
/// A piece that takes longer is too long: who reads on demand waits behind it.
const SLOW: Duration = Duration::from_millis(500);
const QUICK: Duration = Duration::from_millis(150);
/// How long reads on demand are let pass, before it goes on beside them.
const COURTESY: Duration = Duration::from_millis(100);
const GLANCE: Duration = Duration::from_millis(5);

/// Hydrates until all is here that can be.
pub(super) async fn run(cache: Arc<Cache>, store: Arc<Store>) {
    let mut unread = None;
    // What could not be read is tried again in small pieces: only these are
    // missing then.
    for longest in [LONGEST, SHORTEST / 8] {
        let mut pass = Pass::new(&cache, &store, longest);
        match pass.run().await {
            Ok(()) => unread = pass.unread,
            Err(reason) => return cache.drop_it(&store, &reason),
        }
        if unread.is_none() {
            break;
        }
    }
    let state = match &unread {
        None => Hydration::Hydrated,
        Some(_) => Hydration::Incomplete,
    };
    if cache.is_current(&store) {
        match &unread {
            None => info!("hydrated: no server is needed any more"),
            Some(reason) => warn!("hydrated but for what no server can read: {reason}"),
        }
        cache.note(Some(store), state, unread);
    }
}

/// What became of one piece.
enum Piece {
    Stored(Duration),
    /// All servers say that they cannot read it.
    Unread(String),
    /// The cache is of no use any more.
    Lost(String),
}

/// Once over the disk.
struct Pass<'a> {
    cache: &'a Arc<Cache>,
    store: &'a Arc<Store>,
    longest: u64,
    length: u64,
    reads: JoinSet<Piece>,
    unread: Option<String>,
}

impl<'a> Pass<'a> {
    fn new(cache: &'a Arc<Cache>, store: &'a Arc<Store>, longest: u64) -> Self {
        let most = u64::from(cache.ahead.pool().disk().info().block_size.maximum);
        let longest = longest.min(most).max(store.unit());
        Self {
            cache,
            store,
            longest,
            length: FIRST.min(longest),
            reads: JoinSet::new(),
            unread: None,
        }
    }

    /// `Err` says why there is no cache any more.
    async fn run(&mut self) -> Result<(), String> {
        for run in self.store.data() {
            let mut at = run.start;
            while let Some(piece) = self.absent(at..run.end) {
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

    /// The first part of a range that is not here, as long as one read is.
    fn absent(&self, range: Range<u64>) -> Option<Range<u64>> {
        let parts = self.store.split(range);
        let (_, Range { start, end }) = parts.into_iter().find(|(is_here, _)| !is_here)?;
        // Up to a whole number of units.
        let longest = (start + self.length) / self.store.unit() * self.store.unit();
        Some(start..end.min(longest.max(start + self.store.unit())))
    }

    /// Waits for its turn: those who read on demand go first.
    async fn give_way(&mut self) -> Result<(), String> {
        let wanted = |cache: &Cache| cache.demand.load(Ordering::Relaxed) > 0;
        let begun = Instant::now();
        while wanted(self.cache) && begun.elapsed() < COURTESY {
            sleep(GLANCE).await;
        }
        let window = if wanted(self.cache) { 1 } else { WINDOW };
        while self.reads.len() >= window {
            self.finish_one().await?;
        }
        Ok(())
    }

    fn read(&mut self, piece: Range<u64>) {
        let (cache, store) = (Arc::clone(self.cache), Arc::clone(self.store));
        self.reads.spawn(async move {
            let begun = Instant::now();
            let length = u32::try_from(piece.end - piece.start).unwrap_or(u32::MAX);
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
            Some(Ok(Piece::Stored(took))) => self.pace(took),
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

    /// Longer pieces as long as the servers are quick.
    fn pace(&mut self, took: Duration) {
        if took > SLOW {
            self.length = (self.length / 2).max(SHORTEST);
        } else if took < QUICK {
            self.length *= 2;
        }
        self.length = self.length.min(self.longest);
    }
}
