//! The transmission phase (proto.md, "Transmission"): one file for each kind of
//! command.
//!
//! A connection is one task. It takes every request that one receive has brought,
//! answers from memory straight into the send buffer, and sends that in one call:
//! three system calls for a burst of requests, however long. A request that cannot
//! be answered from memory is deferred to a task of its own, whose reply may
//! overtake others.
//!
//! ```text
//! receive ─> burst ─┬─ try_read_cached ────────────────> SendBuffer ─> send
//!    ^              └─ None: deferred ─> Completion ─────────┘          │
//!    └──────────────────────────────────────────────────────────────────┘
//! ```

mod completion;
mod deferred;
mod incoming_write;
mod pieces;
mod read;
mod reply;
mod request;
mod state;
mod status;
mod tally;
mod write;

#[cfg(test)]
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "the numbers of tests are small"
)]
mod tests;

use std::{io, time::Duration};

use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::debug;

pub(super) use self::state::Transmission;
use self::{
    incoming_write::receive,
    request::{Command, Refusal},
};
use super::{
    error::ConnectionError, negotiated::BASE_ALLOCATION_ID, send_buffer::BURST, shutdown::Shutdown,
    stream::Stream,
};
use crate::wire::{self, Request};

/// How long a connection must be idle until its send buffer is freed.
const IDLE_INTERVAL: Duration = Duration::from_secs(10);

/// Whether the connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Request,
    Disconnect,
}

impl<S: Stream> Transmission<'_, S> {
    /// Serves until the client or the server ends; requests in flight are finished
    /// ("Terminating the transmission phase").
    pub(super) async fn run(&mut self, mut shutdown: Shutdown) -> Result<(), ConnectionError> {
        let mut idle = interval(IDLE_INTERVAL);
        idle.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut shutdown = Box::pin(async move { shutdown.requested().await });
        loop {
            if self.burst().await? == Next::Disconnect {
                break;
            }
            while let Some(completed) = self.deferred.try_join_next() {
                self.complete(completed).await?;
            }
            self.flush().await?;
            if self.shutting_down && self.deferred.is_empty() {
                break;
            }
            self.mark_activity();
            if self.wait(&mut shutdown, &mut idle).await? == Next::Disconnect {
                break;
            }
        }
        // Nobody will read what they prepare for.
        self.ending.send_replace(true);
        self.complete_all().await
    }

    /// A connection that waits for its client is idle, and may lose its place.
    fn mark_activity(&self) {
        if let Some(place) = &self.place {
            place.set_busy(!self.deferred.is_empty());
            if self.requests != self.requests_at_tick {
                place.touch();
            }
        }
    }

    /// Waits for the next thing to do.
    async fn wait(
        &mut self,
        shutdown: &mut (impl Future<Output = ()> + Unpin),
        idle: &mut Interval,
    ) -> Result<Next, ConnectionError> {
        tokio::select! {
            biased;
            // First, so that a client that never pauses cannot put it off.
            () = shutdown, if !self.shutting_down => self.shutting_down = true,
            received = receive(&mut self.incoming_write, &mut self.incoming, self.stream) => {
                if received? == 0 {
                    return self.end_of_stream();
                }
            }
            Some(completed) = self.deferred.join_next() => self.complete(completed).await?,
            _ = idle.tick() => self.free_if_idle(),
        }
        Ok(Next::Request)
    }

    /// A client that closes between requests gets the replies to them; inside a
    /// request it is an error.
    fn end_of_stream(&self) -> Result<Next, ConnectionError> {
        if self.incoming.is_empty() && self.incoming_write.is_none() {
            debug!("the client closed without NBD_CMD_DISC");
            Ok(Next::Disconnect)
        } else {
            Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
        }
    }

    fn free_if_idle(&mut self) {
        if self.requests == self.requests_at_tick {
            self.outgoing.free();
        }
        self.requests_at_tick = self.requests;
    }

    /// Answers all requests that are buffered.
    async fn burst(&mut self) -> Result<Next, ConnectionError> {
        self.tally.begin();
        loop {
            if !self.take_write() {
                return Ok(Next::Request);
            }
            let Some(request) = self.incoming.take::<Request>() else {
                return Ok(Next::Request);
            };
            if request.magic.get() != wire::NBD_REQUEST_MAGIC {
                return Err(ConnectionError::Protocol(
                    "a request without its magic".into(),
                ));
            }
            // For the log only.
            self.requests = self.requests.saturating_add(1);
            match request.command.get() {
                wire::NBD_CMD_DISC => return Ok(Next::Disconnect),
                wire::NBD_CMD_WRITE => self.begin_write(request).await?,
                _ => self.answer(&request).await?,
            }
            if self.outgoing.len() >= BURST {
                self.flush().await?;
            }
        }
    }

    /// One function for each command but `NBD_CMD_WRITE`.
    async fn answer(&mut self, request: &Request) -> Result<(), ConnectionError> {
        if self.shutting_down {
            self.refuse(request, &Refusal::shutting_down());
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
                let extents = status::extents(&*self.negotiated.export, (offset, length), one);
                reply.block_status(&mut self.outgoing, BASE_ALLOCATION_ID, &extents);
                self.tally.answered(reply);
            }
            Ok(Command::Cache { offset, length }) => self.cache(reply, (offset, length)).await?,
            Ok(Command::Flush(writes)) => self.flush_disk(reply, writes).await?,
            Ok(Command::Zero(writes, change)) => self.zero(reply, writes, change).await?,
            Err(refusal) => self.refuse(request, &refusal),
        }
        Ok(())
    }
}
