//! One connection in the transmission phase: many reads in flight, answered in
//! any order.
//!
//! ```text
//! read() ─► InFlight, by cookie ◄─ Receiver ◄─ replies ◄─ socket
//!    └────► queue ─► requests ──────────────────────────►
//! ```
//! One task does both directions, and ends with an error that every pending
//! read gets. Dropping the [`Connection`] closes the queue: the task sends
//! `NBD_CMD_DISC` and ends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncWriteExt, WriteHalf},
    sync::{OwnedSemaphorePermit, mpsc},
    task::AbortHandle,
    time::timeout,
};

use super::{
    error::{Error, Result},
    in_flight::InFlight,
    liveness::Liveness,
    receiver::Receiver,
    request::{Request, disconnect},
    stream::Stream,
};
use crate::wire::NBD_CMD_READ;

/// How many requests go out in one write.
const MAX_BATCH: usize = 64;
/// How long the server may take to receive `NBD_CMD_DISC`.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Connection {
    queue: mpsc::UnboundedSender<Request>,
    in_flight: Arc<InFlight>,
    next_cookie: AtomicU64,
    task: AbortHandle,
}

impl Connection {
    /// Takes over `stream` after the handshake.
    pub(super) fn start(
        stream: Box<dyn Stream>,
        structured: bool,
        liveness: Arc<Liveness>,
    ) -> Self {
        let (receive, send) = tokio::io::split(stream);
        let (queue, requests) = mpsc::unbounded_channel();
        let in_flight = Arc::new(InFlight::new(liveness));
        let receiver = Receiver::new(receive, structured, Arc::clone(&in_flight));
        let pending = Arc::clone(&in_flight);
        let task = tokio::spawn(async move {
            let error = tokio::select! {
                error = receiver.run() => error,
                error = send_requests(requests, send) => error,
            };
            pending.fail(&error);
        });
        Self {
            queue,
            in_flight,
            next_cookie: AtomicU64::new(1),
            task: task.abort_handle(),
        }
    }

    /// How many reads wait for a reply; `None` when the connection has ended.
    pub(super) fn load(&self) -> Option<usize> {
        self.in_flight.load()
    }

    /// Why the connection has ended.
    pub(super) fn ended(&self) -> Option<Error> {
        self.in_flight.ended()
    }

    /// When the oldest unanswered read was sent.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.in_flight.oldest()
    }

    /// Ends the connection at once; reads in flight fail with `error`.
    pub(super) fn abort(&self, error: &Error) {
        self.task.abort();
        self.in_flight.fail(error);
    }

    /// Reads `length` bytes at `offset`; `permit` is held until the reply.
    pub(super) async fn read(
        &self,
        offset: u64,
        length: u32,
        permit: OwnedSemaphorePermit,
    ) -> Result<Vec<u8>> {
        let request = Request {
            cookie: self.next_cookie.fetch_add(1, Ordering::Relaxed),
            offset,
            length,
        };
        let reply = self.in_flight.insert(request, permit)?;
        // Both fail only when the task has ended, as by `abort`.
        self.queue.send(request).map_err(|_| closed())?;
        reply.await.map_err(|_| closed())?
    }
}

fn closed() -> Error {
    Error::Lost("the client closed it".into())
}

/// Sends queued requests until the queue is closed or a write fails; returns
/// the reason.
async fn send_requests(
    mut requests: mpsc::UnboundedReceiver<Request>,
    mut stream: WriteHalf<Box<dyn Stream>>,
) -> Error {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    let mut bytes = Vec::new();
    while requests.recv_many(&mut batch, MAX_BATCH).await > 0 {
        bytes.clear();
        for request in batch.drain(..) {
            request.encode(NBD_CMD_READ, &mut bytes);
        }
        let sent = async {
            stream.write_all(&bytes).await?;
            stream.flush().await
        };
        if let Err(error) = sent.await {
            return error.into();
        }
    }
    let disconnected = async {
        stream.write_all(&disconnect()).await?;
        stream.shutdown().await
    };
    // The connection is closed either way; a server that does not read cannot
    // delay that.
    let _best_effort = timeout(DISCONNECT_TIMEOUT, disconnected).await;
    closed()
}
