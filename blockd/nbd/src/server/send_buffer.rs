//! What is to be sent to the client.

use std::{
    io::{self, IoSlice},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    time::timeout,
};
use zerocopy::{Immutable, IntoBytes};

use super::context::Memory;

/// How many bytes of replies are gathered before they are sent, and how much data
/// is copied in order to be sent with others.
pub(super) const BURST: usize = 64 << 10;
/// The capacity, in bytes, that the buffer retains from one reply to the next:
/// enough for the reads of 1 MiB that copying programs send.
pub(super) const RETAINED: usize = (1 << 20) + 4096;

const IN_BOUNDS: &str = "used <= bytes.len()";

/// The send buffer of a connection.
///
/// `bytes` is initialised as far as it was ever used, so that a reply is read
/// into it without being zeroed before; what is to be sent is `..used`.
#[derive(Debug)]
pub(super) struct SendBuffer {
    bytes: Vec<u8>,
    used: usize,
    /// [`Limits::stall_time`](super::limits::Limits::stall_time).
    stall_time: Duration,
    memory: Arc<Memory>,
}

impl SendBuffer {
    pub(super) fn new(stall_time: Duration, memory: Arc<Memory>) -> Self {
        Self {
            bytes: Vec::new(),
            used: 0,
            stall_time,
            memory,
        }
    }

    /// Appends a message.
    pub(super) fn put<T: IntoBytes + Immutable + ?Sized>(&mut self, message: &T) {
        let message = message.as_bytes();
        self.reserve(message.len()).copy_from_slice(message);
    }

    /// Appends `length` bytes for the caller to fill; what they hold before is
    /// unspecified.
    pub(super) fn reserve(&mut self, length: usize) -> &mut [u8] {
        let start = self.used;
        self.used = start.checked_add(length).expect("a buffer fits in memory");
        if self.bytes.len() < self.used {
            self.bytes.resize(self.used, 0);
        }
        self.bytes.get_mut(start..self.used).expect(IN_BOUNDS)
    }

    /// Number of bytes to be sent.
    pub(super) fn len(&self) -> usize {
        self.used
    }

    /// Removes what was appended after the buffer had this length.
    pub(super) fn truncate(&mut self, length: usize) {
        self.used = self.used.min(length);
    }

    /// Frees what is not in use beyond `capacity` bytes.
    pub(super) fn shrink(&mut self, capacity: usize) {
        self.bytes.truncate(capacity.max(self.used));
        self.bytes.shrink_to_fit();
    }

    /// Sends everything.
    pub(super) async fn flush<S: AsyncWrite + Unpin>(&mut self, stream: &mut S) -> io::Result<()> {
        self.flush_with(stream, &[]).await
    }

    /// Sends everything, and `data` behind it in the same call.
    pub(super) async fn flush_with<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        mut data: &[u8],
    ) -> io::Result<()> {
        const SENT: &str = "no more is sent than was there";
        let mut head = self.bytes.get(..self.used).expect(IN_BOUNDS);
        while !(head.is_empty() && data.is_empty()) {
            let sent = self.send_some(stream, head, data).await?;
            match sent.checked_sub(head.len()) {
                None => head = head.get(sent..).expect(SENT),
                Some(of_data) => {
                    head = &[];
                    data = data.get(of_data..).expect(SENT);
                }
            }
        }
        self.used = 0;
        if self.bytes.len() > RETAINED {
            self.shrink(RETAINED);
        }
        // TLS has a buffer of its own.
        while self.unless_stalled(stream.flush()).await?.is_none() {}
        Ok(())
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
            match self.unless_stalled(sending).await? {
                Some(0) => return Err(io::ErrorKind::WriteZero.into()),
                Some(sent) => return Ok(sent),
                None => {}
            }
        }
    }

    /// Runs `sending`. `None` when the client has taken nothing for the stall time,
    /// and may be given as much again, since memory is not scarce.
    async fn unless_stalled<T>(
        &self,
        sending: impl Future<Output = io::Result<T>>,
    ) -> io::Result<Option<T>> {
        match timeout(self.stall_time, sending).await {
            Ok(result) => result.map(Some),
            Err(_) if self.memory.is_scarce() => Err(stalled()),
            Err(_) => Ok(None),
        }
    }
}

fn stalled() -> io::Error {
    let text = "the client does not read its replies, and memory for others is scarce";
    io::Error::new(io::ErrorKind::TimedOut, text)
}
