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

use super::{
    in_flight::{Memory, Permit},
    limits::Limits,
};
use crate::{budget::Place, width::to_usize};

/// How many bytes of replies are gathered before they are sent, and how much data
/// is copied in order to be sent with others.
pub(super) const BURST: usize = 64 << 10;
/// The capacity, in bytes, that the buffer retains from one reply to the next
/// while there is memory: enough for the reads of 1 MiB that copying programs
/// send.
pub(super) const RETAINED: u32 = (1 << 20) + 4096;
/// The capacity, in bytes, that is not counted as memory in flight: two bursts,
/// with their headers.
const UNCOUNTED: usize = 132 << 10;

const IN_BOUNDS: &str = "used <= bytes.len()";

/// The send buffer of a connection.
///
/// `bytes` is initialised as far as it was ever used, so that a reply is read
/// into it without being zeroed before; what is to be sent is `..used`.
#[derive(Debug)]
pub(super) struct SendBuffer {
    bytes: Vec<u8>,
    used: usize,
    /// See [`Limits::stall_time`].
    stall_time: Duration,
    /// See [`Limits::unread_time`].
    unread_time: Duration,
    memory: Memory,
    /// For [`RETAINED`] bytes of the buffer.
    retained: Option<Permit>,
    /// Whoever takes nothing is idle.
    place: Option<Arc<Place>>,
}

impl SendBuffer {
    pub(super) fn new(limits: &Limits, memory: Memory, place: Option<Arc<Place>>) -> Self {
        Self {
            bytes: Vec::new(),
            used: 0,
            stall_time: limits.stall_time.min(limits.unread_time),
            unread_time: limits.unread_time,
            memory,
            retained: None,
            place,
        }
    }

    /// What the requests of the connection are taken from.
    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Whether a reply with this much data needs no memory of its own: it is small,
    /// or there is memory to retain what it takes.
    pub(super) fn retains(&mut self, length: u32) -> bool {
        if length > RETAINED {
            return false;
        }
        if to_usize(length) > BURST && self.retained.is_none() && !self.memory.is_scarce() {
            self.retained = self.memory.try_acquire(RETAINED);
        }
        to_usize(length) <= BURST || self.retained.is_some()
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

    /// Frees what is not in use.
    pub(super) fn free(&mut self) {
        self.shrink(0);
        self.retained = None;
    }

    /// Frees what is not in use beyond `capacity` bytes.
    fn shrink(&mut self, capacity: usize) {
        self.bytes.truncate(capacity.max(self.used));
        self.bytes.shrink_to_fit();
    }

    /// Frees what may not be retained, or should not since others wait for it.
    fn free_some(&mut self) {
        if self.retained.is_some() && self.memory.is_scarce() {
            self.retained = None;
        }
        let capacity = match self.retained {
            Some(_) => to_usize(RETAINED),
            None => UNCOUNTED,
        };
        if self.bytes.len() > capacity {
            self.shrink(capacity);
        }
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
        self.free_some();
        // TLS has a buffer of its own.
        let mut waited = Duration::ZERO;
        while self
            .unless_stalled(stream.flush(), &mut waited)
            .await?
            .is_none()
        {}
        Ok(())
    }

    /// Sends once.
    async fn send_some<S: AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        head: &[u8],
        data: &[u8],
    ) -> io::Result<usize> {
        let mut waited = Duration::ZERO;
        loop {
            let parts = [IoSlice::new(head), IoSlice::new(data)];
            let sending = async {
                if data.is_empty() {
                    stream.write(head).await
                } else {
                    stream.write_vectored(&parts).await
                }
            };
            match self.unless_stalled(sending, &mut waited).await? {
                Some(0) => return Err(io::ErrorKind::WriteZero.into()),
                Some(sent) => return Ok(sent),
                None => {}
            }
        }
    }

    /// Runs `sending`. `None` when the client has taken nothing for the stall time,
    /// and may be given as much again, since memory is not scarce, and what it has
    /// `waited` in all is not too long.
    async fn unless_stalled<T>(
        &self,
        sending: impl Future<Output = io::Result<T>>,
        waited: &mut Duration,
    ) -> io::Result<Option<T>> {
        if let Ok(result) = timeout(self.stall_time, sending).await {
            return result.map(Some);
        }
        *waited = waited.saturating_add(self.stall_time);
        if let Some(place) = &self.place {
            place.set_busy(false);
        }
        if self.memory.is_scarce() {
            Err(stalled("and memory for others is scarce"))
        } else if *waited >= self.unread_time {
            Err(stalled(&format!("for {waited:?}")))
        } else {
            Ok(None)
        }
    }
}

fn stalled(why: &str) -> io::Error {
    let text = format!("the client does not read its replies, {why}");
    io::Error::new(io::ErrorKind::TimedOut, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{budget::Peer, server::in_flight::InFlight};

    #[test]
    fn what_is_retained_counts_and_small_replies_do_not() {
        let limits = Limits {
            total_bytes: 4 << 20,
            ..Limits::default()
        };
        let in_flight = InFlight::new(&limits);
        let mut buffers: Vec<_> = (0..5)
            .map(|user| SendBuffer::new(&limits, in_flight.of(Peer::User(user)), None))
            .collect();
        let retains: Vec<_> = buffers.iter_mut().map(|all| all.retains(1 << 20)).collect();
        // A quarter is for requests that need it.
        assert_eq!(retains, [true, true, true, false, false]);
        assert!(buffers.iter_mut().all(|all| all.retains(64 << 10)));
        assert!(!buffers.iter_mut().any(|all| all.retains(2 << 20)));
        for buffer in &mut buffers {
            buffer.free();
        }
        assert!(buffers.iter_mut().take(3).all(|all| all.retains(1 << 20)));
    }
}
