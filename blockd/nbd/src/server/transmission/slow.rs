//! Requests that take their time: each a task of its own, all of them within
//! the bounds of the connection and of the server.

use std::pin::pin;
use std::sync::Arc;

use tokio::task::JoinError;
use tracing::warn;

use super::Transmission;
use super::reply::Reply;
use super::request::Read;
use crate::server::connection::{ConnectionError, Stream};
use crate::server::context::Share;
use crate::{ReadError, WriteError, Written, wire};

/// A task costs memory too, so the smallest request counts as this much.
pub(super) const SMALLEST_CHARGE: u32 = 16 << 10;

/// What a slow task brought, and the memory it holds.
pub(super) struct Finished {
    reply: Reply,
    result: SlowResult,
    charge: u32,
    share: Share,
}

enum SlowResult {
    Read(Read, Result<Vec<u8>, ReadError>),
    Cache(Result<(), ReadError>),
    Write(Result<(), WriteError>),
}

impl<S: Stream> Transmission<'_, S> {
    /// Reads in a task. `share` is the memory it holds already, if any.
    pub(super) async fn read_slowly(
        &mut self,
        reply: Reply,
        read: Read,
        share: Option<Share>,
    ) -> Result<(), ConnectionError> {
        let charge = read.length.max(SMALLEST_CHARGE);
        let share = match share {
            Some(share) => share,
            None => self.reserve(charge).await?,
        };
        let export = Arc::clone(&self.agreed.export);
        self.slow.spawn(async move {
            let result = export.read(read.offset, read.length).await;
            let result = SlowResult::Read(read, result.and_then(|bytes| all_of(read, bytes)));
            Finished {
                reply,
                result,
                charge,
                share,
            }
        });
        Ok(())
    }

    /// `NBD_CMD_CACHE`.
    pub(super) async fn cache(
        &mut self,
        reply: Reply,
        (offset, length): (u64, u32),
    ) -> Result<(), ConnectionError> {
        if length == 0 {
            reply.done(&mut self.outgoing);
            return Ok(());
        }
        let charge = SMALLEST_CHARGE;
        let share = self.reserve(charge).await?;
        let export = Arc::clone(&self.agreed.export);
        self.slow.spawn(async move {
            let result = SlowResult::Cache(export.prefetch(offset, length.into()).await);
            Finished {
                reply,
                result,
                charge,
                share,
            }
        });
        Ok(())
    }

    /// Writes, or flushes, in a task that holds this memory.
    pub(super) fn write_slowly(
        &mut self,
        reply: Reply,
        (charge, share): (u32, Share),
        work: Written,
    ) {
        self.slow.spawn(async move {
            Finished {
                reply,
                result: SlowResult::Write(work.await),
                charge,
                share,
            }
        });
    }

    /// Replies to a slow request.
    pub(super) async fn finish(
        &mut self,
        finished: Result<Finished, JoinError>,
    ) -> Result<(), ConnectionError> {
        let Finished {
            reply,
            result,
            charge,
            share,
        } = finished.map_err(|error| ConnectionError::Export(error.to_string()))?;
        match result {
            SlowResult::Read(read, Ok(bytes)) => self.reply_read(reply, read, &bytes).await?,
            SlowResult::Read(read, Err(error)) => self.reply_read_error(reply, read, &error),
            SlowResult::Cache(Ok(())) | SlowResult::Write(Ok(())) => {
                reply.done(&mut self.outgoing);
            }
            SlowResult::Write(Err(error)) => {
                warn!(%error, "write failed");
                let code = match error {
                    WriteError::NoSpace(_) => wire::NBD_ENOSPC,
                    WriteError::Failed(_) => wire::NBD_EIO,
                };
                reply.error(&mut self.outgoing, code, &error.to_string());
            }
            SlowResult::Cache(Err(error)) => {
                warn!(%error, "prefetch failed");
                reply.error(&mut self.outgoing, wire::NBD_EIO, &error.0);
            }
        }
        drop(share);
        self.release(charge);
        Ok(())
    }

    /// Replies to all slow requests, and sends everything.
    pub(super) async fn finish_all(&mut self) -> Result<(), ConnectionError> {
        while let Some(finished) = self.slow.join_next().await {
            self.finish(finished).await?;
        }
        Ok(self.outgoing.flush(self.stream).await?)
    }

    /// Memory for a reply. While there is none, nothing more is read from the
    /// client, but replies go on.
    pub(super) async fn reserve(&mut self, charge: u32) -> Result<Share, ConnectionError> {
        let limit = self.context.limits.connection_bytes;
        while self.slow_bytes > 0 && self.slow_bytes.saturating_add(charge) > limit {
            self.finish_one().await?;
        }
        let memory = Arc::clone(&self.context.memory);
        let share = match memory.try_share(charge) {
            Some(share) => share,
            None => self.wait_for(memory.share(charge)).await?,
        };
        self.slow_bytes = self.slow_bytes.saturating_add(charge);
        Ok(share)
    }

    /// Gives back a part of the connection's own bound.
    pub(super) fn release(&mut self, charge: u32) {
        self.slow_bytes = self.slow_bytes.saturating_sub(charge);
    }

    async fn finish_one(&mut self) -> Result<(), ConnectionError> {
        self.outgoing.flush(self.stream).await?;
        match self.slow.join_next().await {
            Some(finished) => self.finish(finished).await,
            None => Ok(()),
        }
    }

    async fn wait_for(
        &mut self,
        share: impl Future<Output = Option<Share>>,
    ) -> Result<Share, ConnectionError> {
        self.outgoing.flush(self.stream).await?;
        let mut share = pin!(share);
        loop {
            tokio::select! {
                share = &mut share => {
                    return share.ok_or_else(|| ConnectionError::Export("no memory".into()));
                }
                Some(finished) = self.slow.join_next() => {
                    self.finish(finished).await?;
                    self.outgoing.flush(self.stream).await?;
                }
            }
        }
    }
}

/// A read that brings too much or too little would put the client out of step.
fn all_of(read: Read, bytes: Vec<u8>) -> Result<Vec<u8>, ReadError> {
    if u32::try_from(bytes.len()) == Ok(read.length) {
        Ok(bytes)
    } else {
        Err(ReadError(format!(
            "{} bytes came instead of {}",
            bytes.len(),
            read.length
        )))
    }
}
