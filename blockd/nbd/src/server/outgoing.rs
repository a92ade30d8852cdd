//! What goes to the client and was not sent yet.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use zerocopy::{Immutable, IntoBytes};

use super::context::Memory;

/// Bytes of replies that are gathered before they are sent, and the largest
/// data that is copied in order to travel with others.
pub(super) const BURST: usize = 64 << 10;
/// Capacity that a busy connection keeps from one reply to the next: enough
/// for the reads of 1 MiB that copying programs send.
pub(super) const KEEP: usize = (1 << 20) + 4096;

/// The one reply buffer of a connection.
///
/// `bytes` is initialised as far as it ever was used, so a reply is read
/// into it without being zeroed before; what is to be sent is `..used`.
#[derive(Debug)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    used: usize,
    /// How long a client may take no byte while others wait for memory.
    patience: Duration,
    memory: Arc<Memory>,
}

impl Outgoing {
    pub(super) fn new(patience: Duration, memory: Arc<Memory>) -> Self {
        Self {
            bytes: Vec::new(),
            used: 0,
            patience,
            memory,
        }
    }

    /// Appends a message.
    pub(super) fn put<T: IntoBytes + Immutable + ?Sized>(&mut self, message: &T) {
        let message = message.as_bytes();
        self.slot(message.len()).copy_from_slice(message);
    }

    /// Appends `length` bytes for the caller to fill; what they hold before is
    /// undefined.
    pub(super) fn slot(&mut self, length: usize) -> &mut [u8] {
        let start = self.used;
        self.used = start.saturating_add(length);
        if self.bytes.len() < self.used {
            self.bytes.resize(self.used, 0);
        }
        self.bytes.get_mut(start..self.used).unwrap_or_default()
    }

    /// Bytes that wait to be sent.
    pub(super) fn len(&self) -> usize {
        self.used
    }

    /// Takes back what was appended after `length`.
    pub(super) fn truncate(&mut self, length: usize) {
        self.used = self.used.min(length);
    }

    /// Gives back what is not in use.
    pub(super) fn shrink(&mut self, capacity: usize) {
        self.bytes.truncate(capacity.max(self.used));
        self.bytes.shrink_to_fit();
    }

    /// Sends all.
    pub(super) async fn flush<S: AsyncWrite + Unpin>(&mut self, stream: &mut S) -> io::Result<()> {
        self.flush_with(stream, &[]).await
    }

    /// Sends all, and `data` behind it in the same call.
    pub(super) async fn flush_with<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        data: &[u8],
    ) -> io::Result<()> {
        let mut head = self.bytes.get(..self.used).unwrap_or_default();
        let mut data = data;
        while !(head.is_empty() && data.is_empty()) {
            let sent = self.send_some(stream, head, data).await?;
            let of_head = sent.min(head.len());
            head = head.get(of_head..).unwrap_or_default();
            data = data.get(sent.saturating_sub(of_head)..).unwrap_or_default();
        }
        self.used = 0;
        if self.bytes.len() > KEEP {
            self.shrink(KEEP);
        }
        // In TLS, what was sent may still be here.
        loop {
            if let Some(flushed) = self.in_patience(stream.flush()).await? {
                return Ok(flushed);
            }
        }
    }

    /// Sends once.
    async fn send_some<S: AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        head: &[u8],
        data: &[u8],
    ) -> io::Result<usize> {
        loop {
            let parts = [IoSlice::new(head), IoSlice::new(data)];
            let sending = async {
                if data.is_empty() {
                    stream.write(head).await
                } else {
                    stream.write_vectored(&parts).await
                }
            };
            match self.in_patience(sending).await? {
                Some(0) => return Err(io::ErrorKind::WriteZero.into()),
                Some(sent) => return Ok(sent),
                None => {}
            }
        }
    }

    /// `None`: a client that takes nothing is waited for once more, unless
    /// others need the memory it holds.
    async fn in_patience<T>(
        &self,
        act: impl Future<Output = io::Result<T>>,
    ) -> io::Result<Option<T>> {
        match timeout(self.patience, act).await {
            Ok(done) => done.map(Some),
            Err(_) if self.memory.is_scarce() => Err(stalled()),
            Err(_) => Ok(None),
        }
    }
}

fn stalled() -> io::Error {
    let text = "the client does not read its replies, and others need the memory they wait in";
    io::Error::new(io::ErrorKind::TimedOut, text)
}
