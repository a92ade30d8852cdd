//! `NBD_CMD_WRITE`, `NBD_CMD_WRITE_ZEROES`, `NBD_CMD_TRIM` and
//! `NBD_CMD_FLUSH`, where the export can be written.

use std::io;
use std::sync::Arc;

use tokio::io::AsyncReadExt;

use super::Transmission;
use super::reply::Reply;
use super::request::{self, Change, Command};
use super::slow::SMALLEST_CHARGE;
use crate::server::connection::{ConnectionError, Stream};
use crate::server::context::Share;
use crate::server::incoming::Incoming;
use crate::wire::Request;

/// A client that sends more than this with one write is not a client.
const MAX_WRITE: u32 = 64 << 20;

/// A write whose data is coming. Where it ends, the next request begins: the
/// data of a write that is refused is read to its end too.
pub(super) struct IncomingWrite {
    request: Request,
    left: u64,
    /// What came, if the write is to be done.
    kept: Option<Kept>,
}

struct Kept {
    data: Vec<u8>,
    change: Change,
    held: u32,
    share: Share,
}

/// Receives once: much data of a write goes straight to where it is kept.
/// Cancel-safe.
pub(super) async fn receive<S: Stream>(
    write: &mut Option<IncomingWrite>,
    incoming: &mut Incoming,
    stream: &mut S,
) -> io::Result<usize> {
    if let Some(IncomingWrite {
        kept: Some(kept),
        left,
        ..
    }) = write
    {
        let received = stream.take(*left).read_buf(&mut kept.data).await?;
        *left = left.saturating_sub(u64::try_from(received).unwrap_or(u64::MAX));
        return Ok(received);
    }
    incoming.fill(stream).await
}

impl<S: Stream> Transmission<'_, S> {
    pub(super) async fn begin_write(&mut self, request: Request) -> Result<(), ConnectionError> {
        let length = request.length.get();
        if length > MAX_WRITE {
            return Err(ConnectionError::Protocol(format!(
                "a write of {length} bytes"
            )));
        }
        let kept = match request::validate(&request, self.terms()) {
            Ok(Command::Write(change)) if !self.shutting_down => {
                let held = length.max(SMALLEST_CHARGE);
                let share = self.reserve(held).await?;
                Some(Kept {
                    data: Vec::with_capacity(usize::try_from(length).unwrap_or(0)),
                    change,
                    held,
                    share,
                })
            }
            _ => None,
        };
        self.unread_write = Some(IncomingWrite {
            request,
            left: length.into(),
            kept,
        });
        Ok(())
    }

    /// Whether no data of a write is in the way any more.
    pub(super) async fn take_write(&mut self) -> Result<bool, ConnectionError> {
        let Some(mut write) = self.unread_write.take() else {
            return Ok(true);
        };
        if let Some(kept) = &mut write.kept {
            let before = kept.data.len();
            let wanted = usize::try_from(write.left).unwrap_or(usize::MAX);
            self.incoming.take_into(&mut kept.data, wanted);
            let came = kept.data.len().saturating_sub(before);
            write.left = write
                .left
                .saturating_sub(u64::try_from(came).unwrap_or(u64::MAX));
        } else {
            write.left = write.left.saturating_sub(self.incoming.discard(write.left));
        }
        if write.left > 0 {
            self.unread_write = Some(write);
            return Ok(false);
        }
        match write.kept {
            Some(kept) => self.write(self.reply_to(&write.request), kept),
            None => self.answer(&write.request).await?,
        }
        Ok(true)
    }

    fn write(&mut self, reply: Reply, kept: Kept) {
        let Kept {
            data,
            change,
            held,
            share,
        } = kept;
        // Only a disk that can be written has data kept for it.
        if let Some(writes) = self.writes.clone() {
            let work = writes.write(change.offset, data, change.durable);
            self.write_slowly(reply, (held, share), work);
        }
    }

    /// Both commands: what was trimmed reads as zeroes, too.
    pub(super) async fn zero(
        &mut self,
        reply: Reply,
        change: Change,
    ) -> Result<(), ConnectionError> {
        let share = self.reserve(SMALLEST_CHARGE).await?;
        if let Some(writes) = self.writes.clone() {
            let work =
                Arc::clone(&writes).zero(change.offset, change.length.into(), change.durable);
            self.write_slowly(reply, (SMALLEST_CHARGE, share), work);
        }
        Ok(())
    }

    /// On a disk that nobody writes to, everything is on storage.
    pub(super) async fn flush_disk(&mut self, reply: Reply) -> Result<(), ConnectionError> {
        let Some(writes) = self.writes.clone() else {
            reply.done(&mut self.outgoing);
            return Ok(());
        };
        let share = self.reserve(SMALLEST_CHARGE).await?;
        self.write_slowly(reply, (SMALLEST_CHARGE, share), writes.flush());
        Ok(())
    }
}
