//! What came from the client and was not taken yet.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};
use zerocopy::FromBytes;

/// 16 KiB hold 585 requests: one receive takes all that a client has in flight.
const CAPACITY: usize = 16 << 10;

/// The one receive buffer of a connection.
#[derive(Debug)]
pub(super) struct Incoming {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Incoming {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; CAPACITY].into_boxed_slice(),
            start: 0,
            end: 0,
        }
    }

    /// Receives once, whatever comes; 0 is the end. Cancel-safe.
    ///
    /// Room is there whenever less than a whole message is buffered, since no
    /// message is as long as the buffer.
    pub(super) async fn fill<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> io::Result<usize> {
        self.compact();
        let room = self.bytes.get_mut(self.end..).unwrap_or_default();
        let received = stream.read(room).await?;
        self.end = self.end.saturating_add(received);
        Ok(received)
    }

    /// Takes a message, if all of it is there.
    pub(super) fn take<T: FromBytes>(&mut self) -> Option<T> {
        let (message, _) = T::read_from_prefix(self.buffered()).ok()?;
        self.advance(size_of::<T>());
        Some(message)
    }

    /// Moves what is there, up to `wanted` bytes, to the end of `out`.
    pub(super) fn take_into(&mut self, out: &mut Vec<u8>, wanted: usize) {
        let count = wanted.min(self.buffered().len());
        out.extend_from_slice(self.buffered().get(..count).unwrap_or_default());
        self.advance(count);
    }

    /// Throws away what is there, up to `wanted` bytes; says how many.
    pub(super) fn discard(&mut self, wanted: u64) -> u64 {
        let count = usize::try_from(wanted)
            .unwrap_or(usize::MAX)
            .min(self.buffered().len());
        self.advance(count);
        u64::try_from(count).unwrap_or(wanted)
    }

    /// Whether nothing is buffered: a client that ends here broke off nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn buffered(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    fn advance(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
    }

    fn compact(&mut self) {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end = self.end.saturating_sub(self.start);
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
        let mut incoming = Incoming::new();
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
        let mut incoming = Incoming::new();
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
