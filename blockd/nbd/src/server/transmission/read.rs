//! `NBD_CMD_READ`. All bytes of a reply are there before its first byte is
//! sent: once a simple reply has said 0, no error can be told any more.

use std::mem;

use tracing::warn;

use super::Transmission;
use super::pieces::{self, Piece};
use super::reply::Reply;
use super::request::Read;
use crate::server::connection::{ConnectionError, Stream};
use crate::server::outgoing::{BURST, KEEP};
use crate::{ReadError, wire};

impl<S: Stream> Transmission<'_, S> {
    /// Answers at once if memory holds the bytes.
    pub(super) async fn read(&mut self, reply: Reply, read: Read) -> Result<(), ConnectionError> {
        let length = usize::try_from(read.length).unwrap_or(usize::MAX);
        if self.outgoing.len() > 0 && self.outgoing.len().saturating_add(length) > BURST {
            self.outgoing.flush(self.stream).await?;
        }
        // What the reply buffer does not keep counts as memory in flight.
        let share = if length > KEEP {
            Some(self.reserve(read.length).await?)
        } else {
            None
        };
        self.bytes = self.bytes.saturating_add(read.length.into());
        if !self.read_ready(reply, read) {
            return self.read_slowly(reply, read, share).await;
        }
        if share.is_some() {
            self.outgoing.flush(self.stream).await?;
            self.release(read.length);
        }
        Ok(())
    }

    /// Puts the whole reply into the buffer, or nothing of it and `false`.
    fn read_ready(&mut self, reply: Reply, read: Read) -> bool {
        let start = self.outgoing.len();
        let mut pieces = mem::take(&mut self.pieces);
        let result = if reply.structured {
            pieces::cut(&*self.agreed.export, read, &mut pieces);
            self.chunks_ready(reply, &pieces)
        } else {
            reply.simple(&mut self.outgoing, 0);
            self.bytes_ready(read.offset, read.length)
        };
        self.pieces = pieces;
        match result {
            Some(Ok(())) => true,
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

    fn chunks_ready(&mut self, reply: Reply, pieces: &[Piece]) -> Option<Result<(), ReadError>> {
        let Some((last, before)) = pieces.split_last() else {
            reply.done(&mut self.outgoing);
            return Some(Ok(()));
        };
        for piece in before {
            if let Err(error) = self.chunk_ready(reply, *piece, false)? {
                return Some(Err(error));
            }
        }
        self.chunk_ready(reply, *last, true)
    }

    fn chunk_ready(
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
        self.bytes_ready(piece.offset, piece.length)
    }

    fn bytes_ready(&mut self, offset: u64, length: u32) -> Option<Result<(), ReadError>> {
        if length == 0 {
            return Some(Ok(()));
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.agreed
            .export
            .read_ready(offset, self.outgoing.slot(length))
    }

    /// Sends what a slow read brought.
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
        pieces::cut(&*self.agreed.export, read, &mut pieces);
        let mut rest = bytes;
        let mut left = pieces.len();
        for piece in &pieces {
            left = left.saturating_sub(1);
            let length = usize::try_from(piece.length).unwrap_or(usize::MAX);
            let (data, after) = rest.split_at(length.min(rest.len()));
            rest = after;
            if piece.zeroes {
                reply.offset_hole(&mut self.outgoing, (piece.offset, piece.length), left == 0);
            } else {
                reply.offset_data(&mut self.outgoing, (piece.offset, piece.length), left == 0);
                self.send(data).await?;
            }
        }
        self.pieces = pieces;
        Ok(())
    }

    /// Little data joins what waits to be sent, much of it is sent from where
    /// it lies.
    async fn send(&mut self, data: &[u8]) -> Result<(), ConnectionError> {
        if self.outgoing.len().saturating_add(data.len()) <= BURST {
            self.outgoing.put(data);
        } else {
            self.outgoing.flush_with(self.stream, data).await?;
        }
        Ok(())
    }

    /// `NBD_EIO`, with the text for those who can read it, and for the log.
    pub(super) fn reply_read_error(&mut self, reply: Reply, read: Read, error: &ReadError) {
        let Read { offset, length, .. } = read;
        warn!(offset, length, %error, "read failed");
        reply.error(&mut self.outgoing, wire::NBD_EIO, &error.0);
    }
}
