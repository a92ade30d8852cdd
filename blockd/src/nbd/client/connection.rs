//! One connection in the transmission phase: many reads in flight, answered in
//! any order.
//!
//! ```text
//! read() ─► table of waiting reads, by cookie ◄─ reader task ◄─ socket
//!    └────► queue ─► writer task ───────────────────────────►
//! ```
//! Both tasks end with the connection; whoever sees the end first tells all
//! that wait. Dropping the [`Connection`] closes the queue: the writer says
//! `NBD_CMD_DISC` and goes.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader, ReadHalf, WriteHalf},
    sync::{mpsc, oneshot},
};

use zerocopy::IntoBytes;

use super::{
    Error, Result,
    reply::{Assembly, Chunk, payload},
    stream::Stream,
};
use crate::nbd::wire::{
    self, NBD_CMD_DISC, NBD_CMD_READ, NBD_REQUEST_MAGIC, NBD_SIMPLE_REPLY_MAGIC,
    NBD_STRUCTURED_REPLY_MAGIC,
};

/// Replies smaller than this are received several at a time.
const RECEIVE_BUFFER: usize = 64 << 10;
/// How many requests go out in one write.
const BATCH: usize = 64;

#[derive(Debug)]
pub(super) struct Connection {
    queue: mpsc::UnboundedSender<Request>,
    table: Arc<Table>,
    next_cookie: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    cookie: u64,
    offset: u64,
    length: u32,
}

#[derive(Debug)]
struct Waiting {
    offset: u64,
    length: u32,
    answer: oneshot::Sender<Result<Vec<u8>>>,
}

/// The reads in flight, until the connection is over.
#[derive(Debug, Default)]
struct Table(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: HashMap<u64, Waiting>,
    over: Option<Error>,
}

impl Table {
    /// Nothing panics while it holds this lock, so it cannot be poisoned.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, cookie: u64) -> Result<Waiting> {
        let waiting = self.lock().waiting.remove(&cookie);
        waiting.ok_or_else(|| Error::protocol("a reply to no request"))
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
    }
}

impl Connection {
    pub(super) fn start(stream: Box<dyn Stream>, structured: bool) -> Self {
        let (receive, send) = tokio::io::split(stream);
        let (queue, requests) = mpsc::unbounded_channel();
        let table = Arc::new(Table::default());
        tokio::spawn(write_requests(requests, send, Arc::clone(&table)));
        tokio::spawn(read_replies(receive, structured, Arc::clone(&table)));
        Self {
            queue,
            table,
            next_cookie: AtomicU64::new(1),
        }
    }

    /// How many reads wait for an answer; `None` when the connection is over.
    pub(super) fn load(&self) -> Option<usize> {
        let state = self.table.lock();
        state.over.is_none().then_some(state.waiting.len())
    }

    pub(super) async fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>> {
        let cookie = self.next_cookie.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.table.lock();
            if let Some(error) = &state.over {
                return Err(error.clone());
            }
            state.waiting.insert(
                cookie,
                Waiting {
                    offset,
                    length,
                    answer,
                },
            );
        }
        let over = || Error::Lost("it was closed".into());
        self.queue
            .send(Request {
                cookie,
                offset,
                length,
            })
            .map_err(|_| over())?;
        answered.await.unwrap_or_else(|_| Err(over()))
    }
}

async fn write_requests(
    mut requests: mpsc::UnboundedReceiver<Request>,
    mut stream: WriteHalf<Box<dyn Stream>>,
    table: Arc<Table>,
) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut bytes = Vec::new();
    while requests.recv_many(&mut batch, BATCH).await > 0 {
        bytes.clear();
        for request in batch.drain(..) {
            encode(NBD_CMD_READ, request, &mut bytes);
        }
        if let Err(error) = stream.write_all(&bytes).await {
            return table.fail(&error.into());
        }
    }
    bytes.clear();
    encode(
        NBD_CMD_DISC,
        Request {
            cookie: 0,
            offset: 0,
            length: 0,
        },
        &mut bytes,
    );
    // A server that is gone needs no farewell.
    let _farewell = stream.write_all(&bytes).await;
    let _closed = stream.shutdown().await;
}

fn encode(command: u16, request: Request, bytes: &mut Vec<u8>) {
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

async fn read_replies(stream: ReadHalf<Box<dyn Stream>>, structured: bool, table: Arc<Table>) {
    let stream = BufReader::with_capacity(RECEIVE_BUFFER, stream);
    let mut receiver = Receiver {
        stream,
        structured,
        parts: HashMap::new(),
        table,
    };
    loop {
        if let Err(error) = receiver.reply().await {
            return receiver.table.fail(&error);
        }
    }
}

/// The reader's end of a connection.
#[derive(Debug)]
struct Receiver {
    stream: BufReader<ReadHalf<Box<dyn Stream>>>,
    structured: bool,
    /// Reads of which some chunks have come.
    parts: HashMap<u64, Assembly>,
    table: Arc<Table>,
}

impl Receiver {
    async fn reply(&mut self) -> Result<()> {
        match self.stream.read_u32().await? {
            NBD_SIMPLE_REPLY_MAGIC if !self.structured => self.simple().await,
            NBD_STRUCTURED_REPLY_MAGIC if self.structured => self.chunk().await,
            magic => Err(Error::protocol(format!(
                "a reply that begins with {magic:#010x}"
            ))),
        }
    }

    async fn simple(&mut self) -> Result<()> {
        let code = self.stream.read_u32().await?;
        let waiting = self.table.take(self.stream.read_u64().await?)?;
        let answer = match code {
            0 => match payload(&mut self.stream, waiting.length).await {
                Ok(bytes) => Ok(bytes),
                Err(error) => {
                    let _gone = waiting.answer.send(Err(error.clone()));
                    return Err(error);
                }
            },
            code => Err(Error::Remote {
                code,
                text: String::new(),
            }),
        };
        let _gone = waiting.answer.send(answer);
        Ok(())
    }

    async fn chunk(&mut self) -> Result<()> {
        let chunk = Chunk::read(&mut self.stream).await?;
        let mut part = match self.parts.remove(&chunk.cookie) {
            Some(part) => part,
            None => self.begin(chunk.cookie)?,
        };
        part.take(chunk, &mut self.stream).await?;
        if chunk.is_last() {
            let answer = part.finish()?;
            let _gone = self.table.take(chunk.cookie)?.answer.send(answer);
        } else {
            self.parts.insert(chunk.cookie, part);
        }
        Ok(())
    }

    fn begin(&self, cookie: u64) -> Result<Assembly> {
        let state = self.table.lock();
        let waiting = state.waiting.get(&cookie);
        let waiting = waiting.ok_or_else(|| Error::protocol("a chunk of no request"))?;
        Assembly::new(waiting.offset, waiting.length)
    }
}
