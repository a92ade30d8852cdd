//! What was received from the client and not taken yet.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};
use zerocopy::FromBytes;

use crate::width::to_u64;

/// 16 KiB hold 585 requests: one receive takes all that a client has in flight.
const CAPACITY: usize = 16 << 10;

const IN_BOUNDS: &str = "start <= end <= CAPACITY";

/// The receive buffer of a connection.
#[derive(Debug)]
pub(super) struct ReceiveBuffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl ReceiveBuffer {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; CAPACITY].into_boxed_slice(),
            start: 0,
            end: 0,
        }
    }

    /// Receives once, as much as has come; returns the number of bytes, 0 at the
    /// end of the stream. Cancel-safe.
    ///
    /// The buffer must not be full. It is not while it holds less than a whole
    /// message, since every message is shorter than the buffer.
    pub(super) async fn fill<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> io::Result<usize> {
        self.compact();
        let free = self.bytes.get_mut(self.end..).expect(IN_BOUNDS);
        debug_assert!(!free.is_empty(), "a full buffer looks like the end");
        let received = stream.read(free).await?;
        self.end = self.end.checked_add(received).expect(IN_BOUNDS);
        Ok(received)
    }

    /// Takes a message, if all of it is buffered.
    pub(super) fn take<T: FromBytes>(&mut self) -> Option<T> {
        let (message, _) = T::read_from_prefix(self.buffered()).ok()?;
        self.advance(size_of::<T>());
        Some(message)
    }

    /// Moves what is buffered, at most `limit` bytes, to the end of `out`.
    pub(super) fn take_into(&mut self, out: &mut Vec<u8>, limit: usize) {
        let buffered = self.buffered();
        let (taken, _) = buffered.split_at(limit.min(buffered.len()));
        out.extend_from_slice(taken);
        let count = taken.len();
        self.advance(count);
    }

    /// Discards what is buffered, at most `limit` bytes; returns how many.
    pub(super) fn discard(&mut self, limit: u64) -> u64 {
        let buffered = self.buffered().len();
        let count = usize::try_from(limit).map_or(buffered, |limit| limit.min(buffered));
        self.advance(count);
        to_u64(count)
    }

    /// Whether nothing is buffered: a client that closes now does not break off a
    /// message.
    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether no more can be received before something is taken.
    pub(super) fn is_full(&self) -> bool {
        self.buffered().len() == CAPACITY
    }

    fn buffered(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).expect(IN_BOUNDS)
    }

    fn advance(&mut self, count: usize) {
        let start = self.start.checked_add(count);
        self.start = start.filter(|start| *start <= self.end).expect(IN_BOUNDS);
    }

    fn compact(&mut self) {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end = self.buffered().len();
            self.start = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ClientHello;

    #[tokio::test]
    async fn a_message_in_pieces_is_taken_when_it_is_whole() {
        let mut incoming = ReceiveBuffer::new();
        incoming.fill(&mut &[0, 0, 1][..]).await.unwrap();
        assert_eq!(incoming.take::<ClientHello>(), None);
        incoming.fill(&mut &[2, 9][..]).await.unwrap();
        assert_eq!(
            incoming
                .take::<ClientHello>()
                .map(|hello| hello.flags.get()),
            Some(0x102)
        );
        assert_eq!(incoming.discard(5), 1);
        assert!(incoming.is_empty());
    }

    #[tokio::test]
    async fn a_full_buffer_has_room_again_after_a_message() {
        let mut incoming = ReceiveBuffer::new();
        let stream = vec![7; 3 * CAPACITY];
        let mut stream = stream.as_slice();
        let mut taken = Vec::new();
        while incoming.fill(&mut stream).await.unwrap() > 0 {
            incoming.take_into(&mut taken, 10_000);
        }
        incoming.take_into(&mut taken, usize::MAX);
        assert_eq!(taken, vec![7; 3 * CAPACITY]);
    }
}
