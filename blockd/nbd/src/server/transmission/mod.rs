//! The transmission phase (proto.md, "Transmission").
//!
//! One task does it all, so nothing interleaves: it takes every request that
//! one receive brought, answers from memory straight into the reply buffer,
//! and sends that in one call. A read that memory cannot answer becomes a task
//! of its own; its reply is sent by this one when it is there, and may
//! overtake others.
//!
//! ```text
//! receive ─> burst ─┬─ read_ready ──────────────> outgoing ─> send
//!    ^              └─ None: slow task ─> finish ─────┘         │
//!    └──────────────────────────────────────────────────────────┘
//! ```

mod pieces;
mod read;
mod reply;
mod request;
mod slow;
mod status;
mod write;

#[cfg(test)]
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "the numbers of tests are small"
)]
mod tests;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::debug;

use self::pieces::Piece;
use self::reply::Reply;
use self::request::{Command, Terms};
use self::slow::Finished;
use self::write::IncomingWrite;
use super::connection::{ConnectionError, Stream};
use super::context::{Context, Shutdown};
use super::handshake::{Agreed, BASE_ALLOCATION_ID};
use super::incoming::Incoming;
use super::outgoing::{BURST, Outgoing};
use crate::export::Writes;
use crate::wire::{self, Request};

/// A connection that is idle for that long gives its reply buffer back.
const IDLE: Duration = Duration::from_secs(10);

/// One connection, after the handshake.
pub(super) struct Transmission<'a, S> {
    stream: &'a mut S,
    incoming: Incoming,
    outgoing: Outgoing,
    context: Arc<Context>,
    agreed: Agreed,
    /// Reads and prefetches that take their time.
    slow: JoinSet<Finished>,
    /// What they hold of the connection's `connection_bytes`.
    slow_bytes: u32,
    /// Takes writes, where the export can be written.
    writes: Option<Arc<dyn Writes>>,
    /// A write whose data has not come to its end.
    unread_write: Option<IncomingWrite>,
    /// Kept for its capacity.
    pieces: Vec<Piece>,
    shutting_down: bool,
    requests: u64,
    requests_at_tick: u64,
    bytes: u64,
}

/// Whether a client wants to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Stays,
    Leaves,
}

impl<'a, S: Stream> Transmission<'a, S> {
    pub(super) fn new(
        stream: &'a mut S,
        incoming: Incoming,
        outgoing: Outgoing,
        (context, agreed): (Arc<Context>, Agreed),
    ) -> Self {
        let writes = agreed.export.writes();
        Self {
            stream,
            incoming,
            outgoing,
            context,
            agreed,
            writes,
            slow: JoinSet::new(),
            slow_bytes: 0,
            unread_write: None,
            pieces: Vec::new(),
            shutting_down: false,
            requests: 0,
            requests_at_tick: 0,
            bytes: 0,
        }
    }

    /// Requests and bytes of reads so far.
    pub(super) fn served(&self) -> (u64, u64) {
        (self.requests, self.bytes)
    }

    /// Serves until the client or the server ends; what is in flight then is
    /// finished ("Terminating the transmission phase").
    pub(super) async fn run(&mut self, mut shutdown: Shutdown) -> Result<(), ConnectionError> {
        let mut idle = interval(IDLE);
        idle.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut shutdown = Box::pin(async move { shutdown.requested().await });
        loop {
            if self.burst().await? == Client::Leaves {
                break;
            }
            while let Some(finished) = self.slow.try_join_next() {
                self.finish(finished).await?;
            }
            self.outgoing.flush(self.stream).await?;
            if self.shutting_down && self.slow.is_empty() {
                break;
            }
            if self.wait(&mut shutdown, &mut idle).await? == Client::Leaves {
                break;
            }
        }
        self.finish_all().await
    }

    /// Waits for the next thing to do.
    async fn wait(
        &mut self,
        shutdown: &mut (impl Future<Output = ()> + Unpin),
        idle: &mut Interval,
    ) -> Result<Client, ConnectionError> {
        tokio::select! {
            biased;
            // First, or a client that never pauses would never be told.
            () = shutdown, if !self.shutting_down => self.shutting_down = true,
            received = write::receive(&mut self.unread_write, &mut self.incoming, self.stream) => {
                if received? == 0 {
                    return self.end_of_stream();
                }
            }
            Some(finished) = self.slow.join_next() => self.finish(finished).await?,
            _ = idle.tick() => self.tidy(),
        }
        Ok(Client::Stays)
    }

    /// A client that just closes gets what it asked for; one that breaks off
    /// inside a request is broken.
    fn end_of_stream(&self) -> Result<Client, ConnectionError> {
        if self.incoming.is_empty() && self.unread_write.is_none() {
            debug!("the client closed without NBD_CMD_DISC");
            Ok(Client::Leaves)
        } else {
            Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
        }
    }

    fn tidy(&mut self) {
        if self.requests == self.requests_at_tick {
            self.outgoing.shrink(0);
        }
        self.requests_at_tick = self.requests;
    }

    /// Answers all requests that are buffered.
    async fn burst(&mut self) -> Result<Client, ConnectionError> {
        loop {
            if !self.take_write().await? {
                return Ok(Client::Stays);
            }
            let Some(request) = self.incoming.take::<Request>() else {
                return Ok(Client::Stays);
            };
            if request.magic.get() != wire::NBD_REQUEST_MAGIC {
                return Err(ConnectionError::Protocol(
                    "a request without its magic".into(),
                ));
            }
            self.requests = self.requests.saturating_add(1);
            match request.command.get() {
                wire::NBD_CMD_DISC => return Ok(Client::Leaves),
                wire::NBD_CMD_WRITE => self.begin_write(request).await?,
                _ => self.answer(&request).await?,
            }
            if self.outgoing.len() >= BURST {
                self.outgoing.flush(self.stream).await?;
            }
        }
    }

    /// One function for each command.
    async fn answer(&mut self, request: &Request) -> Result<(), ConnectionError> {
        if self.shutting_down {
            let text = "the server is shutting down";
            self.reply_to(request)
                .error(&mut self.outgoing, wire::NBD_ESHUTDOWN, text);
            return Ok(());
        }
        let reply = self.reply_to(request);
        match request::validate(request, self.terms()) {
            Ok(Command::Read(read)) => self.read(reply, read).await?,
            Ok(Command::BlockStatus {
                offset,
                length,
                one,
            }) => {
                let extents = status::extents(&*self.agreed.export, (offset, length), one);
                reply.block_status(&mut self.outgoing, BASE_ALLOCATION_ID, &extents);
            }
            Ok(Command::Cache { offset, length }) => self.cache(reply, (offset, length)).await?,
            Ok(Command::Flush) => self.flush_disk(reply).await?,
            Ok(Command::Zero(change)) => self.zero(reply, change).await?,
            Ok(Command::Write(_)) | Err(_) => self.refuse(request),
        }
        Ok(())
    }

    /// Says what is wrong with a request.
    fn refuse(&mut self, request: &Request) {
        let reply = self.reply_to(request);
        if let Err(refusal) = request::validate(request, self.terms()) {
            debug!(error = refusal.error, "{}", refusal.text);
            reply.error(&mut self.outgoing, refusal.error, &refusal.text);
        }
    }

    fn terms(&self) -> Terms<'_> {
        Terms {
            info: self.agreed.export.info(),
            structured_replies: self.agreed.structured_replies,
            base_allocation: self.agreed.base_allocation,
            writable: self.writes.is_some(),
        }
    }

    fn reply_to(&self, request: &Request) -> Reply {
        Reply {
            cookie: request.cookie.get(),
            structured: self.agreed.structured_replies,
        }
    }
}
