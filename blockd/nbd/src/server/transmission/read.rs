//! `NBD_CMD_READ`. All data of a reply is at hand before its first byte is sent:
//! after the header of a simple reply, an error could only be a disconnect.

use std::mem;

use tracing::warn;

use super::{
    pieces::{self, Piece},
    reply::Reply,
    request::Read,
    state::Transmission,
};
use crate::{
    export::ReadError,
    server::{error::ConnectionError, send_buffer::BURST, stream::Stream},
    width::to_usize,
    wire,
};

impl<S: Stream> Transmission<'_, S> {
    /// Answers at once if the export has the bytes in memory, else defers.
    pub(super) async fn read(&mut self, reply: Reply, read: Read) -> Result<(), ConnectionError> {
        let length = to_usize(read.length);
        if self.outgoing.len() > 0 && !self.fits_in_burst(length) {
            self.flush().await?;
        }
        // What the send buffer does not retain counts as memory in flight.
        let permit = if self.outgoing.retains(read.length) {
            None
        } else {
            Some(self.reserve(read.length).await?)
        };
        // For the log only.
        self.bytes = self.bytes.saturating_add(read.length.into());
        if !self.try_read_cached(reply, read) {
            return self.defer_read(reply, read, permit).await;
        }
        self.tally.answered(reply);
        if permit.is_some() {
            self.flush().await?;
            self.release(read.length);
        }
        Ok(())
    }

    /// Whether the send buffer with this many more bytes is at most a burst.
    fn fits_in_burst(&self, length: usize) -> bool {
        let sum = self.outgoing.len().checked_add(length);
        sum.is_some_and(|sum| sum <= BURST)
    }

    /// Puts the whole reply into the send buffer, or nothing of it and `false`.
    fn try_read_cached(&mut self, reply: Reply, read: Read) -> bool {
        let start = self.outgoing.len();
        let mut pieces = mem::take(&mut self.pieces);
        let result = if reply.structured {
            pieces::cut(&*self.negotiated.export, read, &mut pieces);
            self.try_put_chunks(reply, &pieces)
        } else {
            reply.simple(&mut self.outgoing, 0);
            self.try_put_data(read.offset, read.length)
        };
        self.pieces = pieces;
        match result {
            Some(Ok(())) => {
                self.tally.read(read.length);
                true
            }
            Some(Err(error)) => {
                self.outgoing.truncate(start);
                self.reply_read_error(reply, read, &error);
                true
            }
            None => {
                self.outgoing.truncate(start);
                false
            }
        }
    }

    fn try_put_chunks(&mut self, reply: Reply, pieces: &[Piece]) -> Option<Result<(), ReadError>> {
        let Some((last, before)) = pieces.split_last() else {
            reply.done(&mut self.outgoing);
            return Some(Ok(()));
        };
        for piece in before {
            if let Err(error) = self.try_put_chunk(reply, *piece, false)? {
                return Some(Err(error));
            }
        }
        self.try_put_chunk(reply, *last, true)
    }

    fn try_put_chunk(
        &mut self,
        reply: Reply,
        piece: Piece,
        last: bool,
    ) -> Option<Result<(), ReadError>> {
        if piece.zeroes {
            reply.offset_hole(&mut self.outgoing, (piece.offset, piece.length), last);
            return Some(Ok(()));
        }
        reply.offset_data(&mut self.outgoing, (piece.offset, piece.length), last);
        self.try_put_data(piece.offset, piece.length)
    }

    fn try_put_data(&mut self, offset: u64, length: u32) -> Option<Result<(), ReadError>> {
        if length == 0 {
            return Some(Ok(()));
        }
        self.negotiated
            .export
            .try_read_cached(offset, self.outgoing.reserve(to_usize(length)))
    }

    /// Sends the result of a deferred read.
    pub(super) async fn reply_read(
        &mut self,
        reply: Reply,
        read: Read,
        bytes: &[u8],
    ) -> Result<(), ConnectionError> {
        if !reply.structured {
            reply.simple(&mut self.outgoing, 0);
            return self.send(bytes).await;
        }
        let mut pieces = mem::take(&mut self.pieces);
        pieces::cut(&*self.negotiated.export, read, &mut pieces);
        let mut rest = bytes;
        for piece in &pieces {
            let (data, after) = rest
                .split_at_checked(to_usize(piece.length))
                .expect("the pieces are as long as the read");
            rest = after;
            let last = rest.is_empty();
            if piece.zeroes {
                reply.offset_hole(&mut self.outgoing, (piece.offset, piece.length), last);
            } else {
                reply.offset_data(&mut self.outgoing, (piece.offset, piece.length), last);
                self.send(data).await?;
            }
        }
        self.pieces = pieces;
        Ok(())
    }

    /// Copies little data into the send buffer; sends more from where it lies.
    async fn send(&mut self, data: &[u8]) -> Result<(), ConnectionError> {
        if self.fits_in_burst(data.len()) {
            self.outgoing.put(data);
        } else {
            let length = self.outgoing.len().saturating_add(data.len());
            self.tally.settle(&self.context.counters, length);
            self.outgoing.flush_with(self.stream, data).await?;
        }
        Ok(())
    }

    /// `NBD_EIO`, and the reason in the log.
    pub(super) fn reply_read_error(&mut self, reply: Reply, read: Read, error: &ReadError) {
        let Read { offset, length, .. } = read;
        warn!(offset, length, %error, "read failed");
        self.reply_error(reply, wire::NBD_EIO, &error.0);
    }
}
