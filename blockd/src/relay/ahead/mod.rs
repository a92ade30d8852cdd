//! Reading ahead, where the servers are far away.
//!
//! ```text
//! read ─┬─ in chunks that are here, or on their way ─► those
//!       └─ else ─► Pool          and the chunks behind it ─► Pool
//! ```
//! What has been read ahead is kept in memory until it is read, or until there
//! is too much of it.

mod pace;
mod streams;

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::OnceCell;

use self::{
    pace::{MOST, Pace},
    streams::{CHUNK, Streams},
};
use super::{protocol::AheadStatus, upstream::Pool};
use blockd_nbd::ReadError;

/// Chunks that are kept, at most: 32 MiB.
const KEPT: usize = 256;
/// Who reads more at once waits for bytes, not for round trips.
const LONG: u32 = 2 << 20;
/// The most that is read ahead at once when nothing was asked for yet.
const FRONT: u64 = 24 << 20;

/// Reads of a pool, and what will be read next.
#[derive(Debug)]
pub(super) struct Ahead {
    pool: Arc<Pool>,
    state: Mutex<State>,
    on_their_way: AtomicUsize,
    bytes: AtomicU64,
    used: AtomicU64,
}

#[derive(Debug)]
struct State {
    streams: Streams,
    pace: Pace,
    chunks: HashMap<u64, Arc<Chunk>>,
    /// Oldest first.
    order: VecDeque<u64>,
}

/// Whoever comes first brings it, whoever comes meanwhile waits for that.
#[derive(Debug, Default)]
struct Chunk {
    /// `None`: it could not be read.
    bytes: OnceCell<Option<Vec<u8>>>,
    used: AtomicU64,
}

impl Ahead {
    /// Of a server that is a `round_trip` away, the first `front` bytes are
    /// read ahead at once. Must be called inside a runtime.
    pub(super) fn start(pool: Arc<Pool>, front: u64, round_trip: Duration) -> Arc<Self> {
        let size = pool.disk().info().size;
        let pace = Pace::new(round_trip);
        let is_far = pace.window().is_some();
        let ahead = Arc::new(Self {
            pool,
            state: Mutex::new(State {
                streams: Streams::new(size),
                pace,
                chunks: HashMap::new(),
                order: VecDeque::new(),
            }),
            on_their_way: AtomicUsize::new(0),
            bytes: AtomicU64::new(0),
            used: AtomicU64::new(0),
        });
        if is_far {
            let front = front.min(size).min(FRONT).div_ceil(CHUNK);
            ahead.begin(&mut ahead.state(), 0..front);
        }
        ahead
    }

    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    pub(super) fn status(&self) -> AheadStatus {
        AheadStatus {
            bytes: self.bytes.load(Ordering::Relaxed),
            used: self.used.load(Ordering::Relaxed),
        }
    }

    /// Nothing panics while it holds this lock, so it cannot be poisoned.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads from the pool; what was read ahead is here already.
    pub(super) async fn read(
        self: &Arc<Self>,
        offset: u64,
        length: u32,
    ) -> Result<Vec<u8>, ReadError> {
        if length > LONG {
            return self.pool.read(offset, length).await;
        }
        let range = offset..offset + u64::from(length);
        if let Some(chunks) = self.look_ahead(&range)
            && let Some(bytes) = self.gather(range, chunks).await
        {
            return Ok(bytes);
        }
        let begun = Instant::now();
        let bytes = self.pool.read(offset, length).await?;
        self.state().pace.answered(begun.elapsed());
        Ok(bytes)
    }

    /// Begins to read what comes next; the chunks that a range is in, if any of
    /// them was read ahead.
    fn look_ahead(self: &Arc<Self>, range: &Range<u64>) -> Option<Vec<(u64, Arc<Chunk>)>> {
        let mut state = self.state();
        let window = state.pace.window()?;
        let on_their_way = self.on_their_way.load(Ordering::Relaxed);
        let room = MOST.saturating_sub(CHUNK.saturating_mul(u64::try_from(on_their_way).ok()?));
        let wanted = state.streams.note(range, window.min(room));
        self.begin(&mut state, wanted);
        let numbers = range.start / CHUNK..range.end.div_ceil(CHUNK);
        let is_here = |number| state.chunks.contains_key(&number);
        if !numbers.clone().any(is_here) {
            return None;
        }
        self.begin(&mut state, numbers.clone());
        let chunk = |number| Some((number, Arc::clone(state.chunks.get(&number)?)));
        numbers.map(chunk).collect()
    }

    fn begin(self: &Arc<Self>, state: &mut State, numbers: Range<u64>) {
        for number in numbers {
            let Some(chunk) = state.begin(number) else {
                continue;
            };
            self.on_their_way.fetch_add(1, Ordering::Relaxed);
            let ahead = Arc::clone(self);
            drop(tokio::spawn(async move {
                chunk.bytes.get_or_init(|| ahead.bring(number)).await;
                ahead.on_their_way.fetch_sub(1, Ordering::Relaxed);
            }));
        }
    }

    async fn bring(&self, number: u64) -> Option<Vec<u8>> {
        let start = number * CHUNK;
        let length = CHUNK.min(self.pool.disk().info().size - start);
        let begun = Instant::now();
        let length = u32::try_from(length).ok()?;
        let bytes = self.pool.read_ahead(start, length).await?;
        self.state().pace.brought(begun.elapsed());
        self.bytes.fetch_add(length.into(), Ordering::Relaxed);
        Some(bytes)
    }

    /// `None` when one of them cannot be read: the range alone may be.
    async fn gather(&self, range: Range<u64>, chunks: Vec<(u64, Arc<Chunk>)>) -> Option<Vec<u8>> {
        if chunks.iter().any(|(_, chunk)| !chunk.bytes.initialized()) {
            self.state().pace.late(Instant::now());
        }
        let mut gathered = Vec::with_capacity(usize::try_from(range.end - range.start).ok()?);
        for (number, chunk) in chunks {
            let bytes = chunk.bytes.get_or_init(|| self.bring(number)).await;
            let start = number * CHUNK;
            let part = range.start.max(start) - start..range.end.min(start + CHUNK) - start;
            let part = usize::try_from(part.start).ok()?..usize::try_from(part.end).ok()?;
            let part = bytes.as_ref()?.get(part)?;
            gathered.extend_from_slice(part);
            self.note_use(number, &chunk, part.len());
        }
        Some(gathered)
    }

    /// What was read as a whole the kernel has now.
    fn note_use(&self, number: u64, chunk: &Chunk, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.used.fetch_add(bytes, Ordering::Relaxed);
        let used = chunk.used.fetch_add(bytes, Ordering::Relaxed);
        if used.saturating_add(bytes) >= CHUNK {
            self.state().chunks.remove(&number);
        }
    }
}

impl State {
    /// A chunk to be brought, unless it is here, or on its way.
    fn begin(&mut self, number: u64) -> Option<Arc<Chunk>> {
        if self.chunks.contains_key(&number) {
            return None;
        }
        let chunk = Arc::<Chunk>::default();
        self.chunks.insert(number, Arc::clone(&chunk));
        self.order.push_back(number);
        if self.order.len() > KEPT {
            let oldest = self.order.pop_front();
            oldest.and_then(|oldest| self.chunks.remove(&oldest));
        }
        Some(chunk)
    }
}
