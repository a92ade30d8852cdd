//! Reading ahead of requests, from servers that are a long round trip away.
//!
//! ```text
//! read ─┬─ in chunks that are in memory, or in flight ─► those
//!       └─ else ─► Pool          and the chunks behind it ─► Pool
//! ```
//! What has been read ahead stays in memory until it is read, or until there
//! is too much of it.

mod pace;
mod streams;

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::OnceCell;

use self::{
    pace::{MAX_WINDOW, Pace},
    streams::{CHUNK, Streams},
};
use super::{
    buffer::{length_of, part_length, position},
    protocol::AheadStatus,
    upstream::Pool,
};
use blockd_nbd::ReadError;

/// Chunks in memory, at most: 32 MiB.
const MAX_CHUNKS: usize = 256;
/// Bytes of the longest read that is answered from chunks: a longer one waits
/// for its bytes, and not for round trips.
const MAX_LENGTH: u32 = 2 << 20;
/// Bytes at the front of the disk that are read ahead at once, at most.
const MAX_FRONT: u64 = 24 << 20;

/// Reads of a pool, and of what is expected to be read next.
#[derive(Debug)]
pub(super) struct Ahead {
    pool: Arc<Pool>,
    state: Mutex<State>,
    /// Chunks that are being read.
    in_flight: AtomicU64,
    /// Bytes that were read ahead.
    bytes: AtomicU64,
    /// Bytes of these that were requested.
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

/// One piece that is read ahead: the first task that needs it reads it, and
/// others wait for that.
#[derive(Debug, Default)]
struct Chunk {
    /// `None` when it could not be read.
    bytes: OnceCell<Option<Vec<u8>>>,
    /// Bytes that were requested.
    used: AtomicU64,
}

impl Ahead {
    /// Reads the first `front` bytes ahead at once, if the server is a long
    /// `round_trip` away. Must be called inside a runtime.
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
            in_flight: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            used: AtomicU64::new(0),
        });
        if is_far {
            let front = front.min(size).min(MAX_FRONT).div_ceil(CHUNK);
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// Reads what was read ahead from memory, and the rest from the pool.
    ///
    /// # Errors
    ///
    /// As [`Pool::read`].
    pub(super) async fn read(
        self: &Arc<Self>,
        offset: u64,
        length: u32,
    ) -> Result<Vec<u8>, ReadError> {
        if length > MAX_LENGTH {
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
        self.state().pace.record_read(begun.elapsed());
        Ok(bytes)
    }

    /// Begins to read what comes next. Returns the chunks of a range, if one of
    /// them was read ahead; `None` also when one of them was just dropped.
    fn look_ahead(self: &Arc<Self>, range: &Range<u64>) -> Option<Vec<(u64, Arc<Chunk>)>> {
        let mut state = self.state();
        let window = state.pace.window()?;
        let in_flight = self.in_flight.load(Ordering::Relaxed) * CHUNK;
        // No room when more is in flight, as after the start.
        let room = MAX_WINDOW.saturating_sub(in_flight);
        let next = state.streams.record(range, window.min(room));
        self.begin(&mut state, next);
        let numbers = range.start / CHUNK..range.end.div_ceil(CHUNK);
        let is_present = |number| state.chunks.contains_key(&number);
        if !numbers.clone().any(is_present) {
            return None;
        }
        self.begin(&mut state, numbers.clone());
        let chunk = |number| Some((number, Arc::clone(state.chunks.get(&number)?)));
        numbers.map(chunk).collect()
    }

    /// Begins to read chunks, so far as they are not present or in flight.
    fn begin(self: &Arc<Self>, state: &mut State, numbers: Range<u64>) {
        for number in numbers {
            if let Some(chunk) = state.add(number) {
                self.in_flight.fetch_add(1, Ordering::Relaxed);
                let ahead = Arc::clone(self);
                drop(tokio::spawn(async move {
                    chunk.bytes.get_or_init(|| ahead.fetch(number)).await;
                    ahead.in_flight.fetch_sub(1, Ordering::Relaxed);
                }));
            }
        }
    }

    /// Reads a chunk; `None` when it cannot be read.
    async fn fetch(&self, number: u64) -> Option<Vec<u8>> {
        let start = number * CHUNK;
        let length = part_length(CHUNK.min(self.pool.disk().info().size - start));
        let begun = Instant::now();
        let bytes = self.pool.read_ahead(start, length).await?;
        self.state().pace.record_chunk(begun.elapsed());
        self.bytes.fetch_add(length.into(), Ordering::Relaxed);
        Some(bytes)
    }

    /// The bytes of a range from its chunks; `None` when one of these cannot be
    /// read, since the range alone may be.
    async fn gather(&self, range: Range<u64>, chunks: Vec<(u64, Arc<Chunk>)>) -> Option<Vec<u8>> {
        if chunks.iter().any(|(_, chunk)| !chunk.bytes.initialized()) {
            self.state().pace.record_wait(Instant::now());
        }
        let mut gathered = Vec::with_capacity(position(range.end - range.start));
        for (number, chunk) in chunks {
            let bytes = chunk.bytes.get_or_init(|| self.fetch(number)).await;
            let start = number * CHUNK;
            let first = position(range.start.max(start) - start);
            let end = position(range.end.min(start + CHUNK) - start);
            let part = &bytes.as_ref()?[first..end];
            gathered.extend_from_slice(part);
            self.record_use(number, &chunk, length_of(part));
        }
        Some(gathered)
    }

    /// Drops a chunk that was requested as a whole: the kernel has it now.
    fn record_use(&self, number: u64, chunk: &Chunk, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        let used = chunk.used.fetch_add(bytes, Ordering::Relaxed);
        if used + bytes >= CHUNK {
            self.state().chunks.remove(&number);
        }
    }
}

impl State {
    /// Adds a chunk that is to be read; `None` when it is there already.
    fn add(&mut self, number: u64) -> Option<Arc<Chunk>> {
        if self.chunks.contains_key(&number) {
            return None;
        }
        let chunk = Arc::<Chunk>::default();
        self.chunks.insert(number, Arc::clone(&chunk));
        self.order.push_back(number);
        if self.order.len() > MAX_CHUNKS {
            let oldest = self.order.pop_front();
            oldest.and_then(|oldest| self.chunks.remove(&oldest));
        }
        Some(chunk)
    }
}
