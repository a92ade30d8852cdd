//! One connection in the transmission phase: many reads in flight, answered in
//! any order.
//!
//! ```text
//! read() ─► table of waiting reads, by cookie ◄─ replies ◄─ socket
//!    └────► queue ─► requests ───────────────────────────►
//! ```
//! One task does both directions; when it sees the end, it tells all that
//! wait. Dropping the [`Connection`] closes the queue: the task says
//! `NBD_CMD_DISC` and goes.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncWriteExt, WriteHalf},
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    task::AbortHandle,
    time::timeout,
};
use zerocopy::IntoBytes;

use super::{Error, Pulse, Result, receiver::Receiver, stream::Stream};
use crate::wire::{self, NBD_CMD_DISC, NBD_CMD_READ, NBD_REQUEST_MAGIC};

/// How many requests go out in one write.
const BATCH: usize = 64;
/// How long a server may take to hear our farewell.
const FAREWELL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Connection {
    queue: mpsc::UnboundedSender<Request>,
    table: Arc<Table>,
    next_cookie: AtomicU64,
    task: AbortHandle,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) cookie: u64,
    pub(super) offset: u64,
    pub(super) length: u32,
}

/// A read in flight. It holds its share of the bytes in flight until the
/// server has answered, also when nobody waits for the answer any more.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) answer: oneshot::Sender<Result<Vec<u8>>>,
    since: Instant,
    _share: OwnedSemaphorePermit,
}

/// The reads in flight, until the connection is over.
#[derive(Debug)]
pub(super) struct Table {
    state: Mutex<State>,
    pulse: Arc<Pulse>,
}

#[derive(Debug, Default)]
struct State {
    waiting: HashMap<u64, Waiting>,
    over: Option<Error>,
}

impl Table {
    /// Nothing panics while it holds this lock, so it cannot be poisoned.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(&self, cookie: u64) -> Result<Waiting> {
        let waiting = self.lock().waiting.remove(&cookie);
        self.pulse.beat();
        waiting.ok_or_else(|| Error::protocol("a reply to no request"))
    }

    /// Offset and length of a read in flight.
    pub(super) fn range(&self, cookie: u64) -> Result<(u64, u32)> {
        let state = self.lock();
        let waiting = state.waiting.get(&cookie);
        let range = waiting.map(|waiting| (waiting.offset, waiting.length));
        range.ok_or_else(|| Error::protocol("a chunk of no request"))
    }

    fn fail(&self, error: &Error) {
        let waiting = {
            let mut state = self.lock();
            state.over.get_or_insert_with(|| error.clone());
            std::mem::take(&mut state.waiting)
        };
        for (_, waiting) in waiting {
            // Whoever asked may have stopped waiting.
            let _gone = waiting.answer.send(Err(error.clone()));
        }
        self.pulse.ended.notify_one();
    }
}

impl Connection {
    pub(super) fn start(stream: Box<dyn Stream>, structured: bool, pulse: Arc<Pulse>) -> Self {
        let (receive, send) = tokio::io::split(stream);
        let (queue, requests) = mpsc::unbounded_channel();
        let table = Arc::new(Table {
            state: Mutex::default(),
            pulse,
        });
        let receiver = Receiver::new(receive, structured, Arc::clone(&table));
        let told = Arc::clone(&table);
        let task = tokio::spawn(async move {
            let error = tokio::select! {
                error = receiver.run() => error,
                error = write_requests(requests, send) => error,
            };
            told.fail(&error);
        });
        Self {
            queue,
            table,
            next_cookie: AtomicU64::new(1),
            task: task.abort_handle(),
        }
    }

    /// How many reads wait for an answer; `None` when the connection is over.
    pub(super) fn load(&self) -> Option<usize> {
        let state = self.table.lock();
        state.over.is_none().then_some(state.waiting.len())
    }

    /// Why the connection is over.
    pub(super) fn over(&self) -> Option<Error> {
        self.table.lock().over.clone()
    }

    /// Since when the oldest read waits for its answer.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        let state = self.table.lock();
        state.waiting.values().map(|waiting| waiting.since).min()
    }

    /// Ends it at once; reads in flight fail with this error.
    pub(super) fn abort(&self, error: &Error) {
        self.task.abort();
        self.table.fail(error);
    }

    pub(super) async fn read(
        &self,
        offset: u64,
        length: u32,
        share: OwnedSemaphorePermit,
    ) -> Result<Vec<u8>> {
        let cookie = self.next_cookie.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.table.lock();
            if let Some(error) = &state.over {
                return Err(error.clone());
            }
            let waiting = Waiting {
                offset,
                length,
                answer,
                since: Instant::now(),
                _share: share,
            };
            state.waiting.insert(cookie, waiting);
        }
        let over = || Error::Lost("it was closed".into());
        let request = Request {
            cookie,
            offset,
            length,
        };
        self.queue.send(request).map_err(|_| over())?;
        answered.await.unwrap_or_else(|_| Err(over()))
    }
}

/// Sends what is queued until nobody can ask any more; says why it ended.
async fn write_requests(
    mut requests: mpsc::UnboundedReceiver<Request>,
    mut stream: WriteHalf<Box<dyn Stream>>,
) -> Error {
    let mut batch = Vec::with_capacity(BATCH);
    let mut bytes = Vec::new();
    while requests.recv_many(&mut batch, BATCH).await > 0 {
        bytes.clear();
        for request in batch.drain(..) {
            encode(NBD_CMD_READ, request, &mut bytes);
        }
        let sent = async {
            stream.write_all(&bytes).await?;
            stream.flush().await
        };
        if let Err(error) = sent.await {
            return error.into();
        }
    }
    bytes.clear();
    let nothing = Request {
        cookie: 0,
        offset: 0,
        length: 0,
    };
    encode(NBD_CMD_DISC, nothing, &mut bytes);
    let farewell = async {
        stream.write_all(&bytes).await?;
        stream.shutdown().await
    };
    // A server that is gone, or frozen, needs no farewell.
    let _said = timeout(FAREWELL, farewell).await;
    Error::Lost("it was closed".into())
}

pub(super) fn encode(command: u16, request: Request, bytes: &mut Vec<u8>) {
    let request = wire::Request {
        magic: NBD_REQUEST_MAGIC.into(),
        flags: 0.into(),
        command: command.into(),
        cookie: request.cookie.into(),
        offset: request.offset.into(),
        length: request.length.into(),
    };
    bytes.extend_from_slice(request.as_bytes());
}
