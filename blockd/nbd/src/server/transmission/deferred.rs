//! Requests that cannot be answered from memory: each is served by a task of its
//! own, within the limits of the connection and of the server.

use std::{pin::pin, sync::Arc};

use tokio::task::JoinError;
use tracing::{Instrument, warn};

use super::{
    completion::{Completion, Outcome},
    reply::Reply,
    request::Read,
    state::Transmission,
};
use crate::{
    export::{ReadError, WriteError, Written},
    server::{error::ConnectionError, in_flight::Permit, stream::Stream},
    wire,
};

/// What the smallest request counts as, in bytes: a task takes memory too.
pub(super) const MIN_CHARGE: u32 = 16 << 10;

impl<S: Stream> Transmission<'_, S> {
    /// Reads in a task. `permit` is for the length of the read, if it was reserved
    /// already.
    pub(super) async fn defer_read(
        &mut self,
        reply: Reply,
        read: Read,
        permit: Option<Permit>,
    ) -> Result<(), ConnectionError> {
        let charge = read.length.max(MIN_CHARGE);
        let permit = match permit {
            Some(permit) => permit,
            None => self.reserve(charge).await?,
        };
        let export = Arc::clone(&self.negotiated.export);
        let work = async move {
            let result = export.read(read.offset, read.length).await;
            let result = result.and_then(|bytes| check_length(read, bytes));
            Completion {
                reply,
                outcome: Outcome::Read(read, result),
                charge,
                permit,
            }
        };
        self.defer(work);
        Ok(())
    }

    /// `NBD_CMD_CACHE`.
    pub(super) async fn cache(
        &mut self,
        reply: Reply,
        (offset, length): (u64, u32),
    ) -> Result<(), ConnectionError> {
        if length == 0 {
            self.done(reply);
            return Ok(());
        }
        let permit = self.reserve(MIN_CHARGE).await?;
        let export = Arc::clone(&self.negotiated.export);
        let mut ending = self.ending.subscribe();
        let work = async move {
            let prefetched = tokio::select! {
                prefetched = export.prefetch(offset, length.into()) => prefetched,
                _ = ending.wait_for(|ending| *ending) => Ok(()),
            };
            Completion {
                reply,
                outcome: Outcome::Cache(prefetched),
                charge: MIN_CHARGE,
                permit,
            }
        };
        self.defer(work);
        Ok(())
    }

    /// Writes, zeroes or flushes in a task.
    pub(super) fn defer_write(
        &mut self,
        reply: Reply,
        (charge, permit): (u32, Permit),
        work: Written,
    ) {
        let work = async move {
            Completion {
                reply,
                outcome: Outcome::Write(work.await),
                charge,
                permit,
            }
        };
        self.defer(work);
    }

    /// Lines in the log about it say which connection it is of.
    fn defer(&mut self, work: impl Future<Output = Completion> + Send + 'static) {
        self.deferred.spawn(work.in_current_span());
    }

    /// Replies to a deferred request.
    pub(super) async fn complete(
        &mut self,
        completed: Result<Completion, JoinError>,
    ) -> Result<(), ConnectionError> {
        let Completion {
            reply,
            outcome,
            charge,
            permit,
        } = completed.map_err(|error| ConnectionError::ExportPanicked(error.to_string()))?;
        // Before the reply may be sent.
        let read = match &outcome {
            Outcome::Read(read, Ok(_)) => read.length,
            _ => 0,
        };
        self.tally.completed(&self.context.counters, reply, read);
        match outcome {
            Outcome::Read(read, Ok(bytes)) => self.reply_read(reply, read, &bytes).await?,
            Outcome::Read(read, Err(error)) => self.reply_read_error(reply, read, &error),
            Outcome::Cache(Ok(())) | Outcome::Write(Ok(())) => {
                reply.done(&mut self.outgoing);
            }
            Outcome::Write(Err(error)) => {
                warn!(%error, "write failed");
                let code = match error {
                    WriteError::NoSpace(_) => wire::NBD_ENOSPC,
                    WriteError::Failed(_) => wire::NBD_EIO,
                };
                self.reply_error(reply, code, &error.to_string());
            }
            Outcome::Cache(Err(error)) => {
                warn!(%error, "prefetch failed");
                self.reply_error(reply, wire::NBD_EIO, &error.0);
            }
        }
        drop(permit);
        self.release(charge);
        Ok(())
    }

    /// Replies to all deferred requests, and sends everything.
    pub(super) async fn complete_all(&mut self) -> Result<(), ConnectionError> {
        while let Some(completed) = self.deferred.join_next().await {
            self.complete(completed).await?;
        }
        self.flush().await
    }

    /// Reserves memory for a request, of the connection and of the server. While
    /// there is none, no request is received, and replies are sent.
    pub(super) async fn reserve(&mut self, charge: u32) -> Result<Permit, ConnectionError> {
        let limit = self.context.limits.connection_bytes;
        // One request may exceed the limit, if it is the only one.
        while self.deferred_bytes > 0
            && self
                .deferred_bytes
                .checked_add(charge)
                .is_none_or(|sum| sum > limit)
        {
            self.complete_one().await?;
        }
        let memory = self.memory.clone();
        let permit = match memory.try_acquire(charge) {
            Some(permit) => permit,
            None => self.complete_until(memory.acquire(charge)).await?,
        };
        let sum = self.deferred_bytes.checked_add(charge);
        self.deferred_bytes = sum.expect("it is within the limit, or the only request");
        Ok(permit)
    }

    /// Gives back what was reserved of the connection's own limit.
    pub(super) fn release(&mut self, charge: u32) {
        let rest = self.deferred_bytes.checked_sub(charge);
        self.deferred_bytes = rest.expect("it was reserved before");
    }

    async fn complete_one(&mut self) -> Result<(), ConnectionError> {
        self.flush().await?;
        let completed = self.deferred.join_next().await;
        self.complete(completed.expect("what is reserved is for deferred requests"))
            .await
    }

    async fn complete_until<T>(
        &mut self,
        ready: impl Future<Output = T>,
    ) -> Result<T, ConnectionError> {
        self.flush().await?;
        let mut ready = pin!(ready);
        loop {
            tokio::select! {
                value = &mut ready => return Ok(value),
                Some(completed) = self.deferred.join_next() => {
                    self.complete(completed).await?;
                    self.flush().await?;
                }
            }
        }
    }
}

/// A reply with more or fewer bytes than its header says would make the client
/// misread all that follows.
fn check_length(read: Read, bytes: Vec<u8>) -> Result<Vec<u8>, ReadError> {
    if u32::try_from(bytes.len()) == Ok(read.length) {
        Ok(bytes)
    } else {
        Err(ReadError(format!(
            "the export returned {} bytes instead of {}",
            bytes.len(),
            read.length
        )))
    }
}
