//! Receives options and sends replies, within the time that the client has for
//! the handshake.

use std::{io, pin::pin, time::Duration};

use tokio::time::{Instant, timeout_at};
use tracing::info;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{
    server::{
        error::ConnectionError, receive_buffer::ReceiveBuffer, send_buffer::SendBuffer,
        shutdown::Shutdown, stream::Stream,
    },
    string::truncate,
    width::to_usize,
    wire::{self, OptionHeader, OptionReply},
};

/// Longer option data, in bytes, is discarded and gets `NBD_REP_ERR_TOO_BIG`; 15
/// names of the maximum length fit.
const MAX_OPTION_DATA: u32 = 64 << 10;
/// How long a client may still send options when the server shuts down.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// An option with all its data.
pub(super) struct OptionRequest {
    pub(super) option: u32,
    /// As in the header of the option.
    pub(super) length: u32,
    /// Empty if it is too big.
    pub(super) data: Vec<u8>,
}

impl OptionRequest {
    pub(super) fn is_too_big(&self) -> bool {
        self.length > MAX_OPTION_DATA
    }
}

/// Both directions of one connection; what the client takes must end before
/// `deadline`.
pub(super) struct OptionStream<'a, S> {
    stream: &'a mut S,
    incoming: &'a mut ReceiveBuffer,
    pub(super) outgoing: &'a mut SendBuffer,
    shutdown: &'a mut Shutdown,
    shutting_down: bool,
    allowed: Duration,
    deadline: Instant,
}

impl<'a, S: Stream> OptionStream<'a, S> {
    pub(super) fn new(
        stream: &'a mut S,
        incoming: &'a mut ReceiveBuffer,
        outgoing: &'a mut SendBuffer,
        (allowed, deadline, shutdown): (Duration, Instant, &'a mut Shutdown),
    ) -> Self {
        let shutting_down = false;
        Self {
            stream,
            incoming,
            outgoing,
            shutdown,
            shutting_down,
            allowed,
            deadline,
        }
    }

    /// Whether options are to be refused with `NBD_REP_ERR_SHUTDOWN`.
    pub(super) fn is_shutting_down(&self) -> bool {
        self.shutting_down || self.shutdown.is_requested()
    }

    /// Waits for the server's own work, which does not count against the client.
    pub(super) async fn off_the_clock<T>(&mut self, work: impl Future<Output = T>) -> T {
        let start = Instant::now();
        let result = work.await;
        self.deadline = later(self.deadline, start.elapsed());
        result
    }

    /// The same, for work that ends when the client is gone: then `None`. A client
    /// that has sent much more already is not looked at.
    pub(super) async fn while_connected<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let start = Instant::now();
        let mut work = pin!(work);
        let result = loop {
            tokio::select! {
                biased;
                result = &mut work => break Some(result),
                received = self.incoming.fill(self.stream), if !self.incoming.is_full() => {
                    if received.is_ok_and(|received| received > 0) {
                        continue;
                    }
                    break None;
                }
            }
        };
        self.deadline = later(self.deadline, start.elapsed());
        result
    }

    /// Whether more was received than was taken.
    pub(super) fn has_buffered(&self) -> bool {
        !self.incoming.is_empty()
    }

    /// The next option; `None` when the client has closed the connection.
    pub(super) async fn receive_option(
        &mut self,
    ) -> Result<Option<OptionRequest>, ConnectionError> {
        let Some(header) = self.receive::<OptionHeader>().await? else {
            return Ok(None);
        };
        if header.magic.get() != wire::IHAVEOPT {
            return Err(ConnectionError::Protocol(
                "an option without IHAVEOPT".into(),
            ));
        }
        let mut request = OptionRequest {
            option: header.option.get(),
            length: header.length.get(),
            data: Vec::new(),
        };
        if request.is_too_big() {
            self.discard(request.length.into()).await?;
        } else {
            self.receive_data(&mut request).await?;
        }
        Ok(Some(request))
    }

    /// A whole message; `None` when the client has closed the connection before it.
    pub(super) async fn receive<T: FromBytes>(&mut self) -> Result<Option<T>, ConnectionError> {
        loop {
            if let Some(message) = self.incoming.take::<T>() {
                return Ok(Some(message));
            }
            let between_messages = self.incoming.is_empty();
            if self.fill().await? == 0 {
                return if between_messages {
                    Ok(None)
                } else {
                    Err(broken_off())
                };
            }
        }
    }

    async fn receive_data(&mut self, request: &mut OptionRequest) -> Result<(), ConnectionError> {
        let length = to_usize(request.length);
        loop {
            let missing = length.checked_sub(request.data.len());
            let missing = missing.expect("no more is taken than is missing");
            self.incoming.take_into(&mut request.data, missing);
            if request.data.len() == length {
                return Ok(());
            }
            self.fill_more().await?;
        }
    }

    async fn discard(&mut self, length: u64) -> Result<(), ConnectionError> {
        let mut left = length;
        loop {
            let discarded = self.incoming.discard(left);
            left = left
                .checked_sub(discarded)
                .expect("no more is discarded than is left");
            if left == 0 {
                return Ok(());
            }
            self.fill_more().await?;
        }
    }

    async fn fill_more(&mut self) -> Result<(), ConnectionError> {
        if self.fill().await? == 0 {
            Err(broken_off())
        } else {
            Ok(())
        }
    }

    /// Receives once. When the server shuts down meanwhile, the client has a
    /// little time for an option to which that can be replied.
    async fn fill(&mut self) -> Result<usize, ConnectionError> {
        loop {
            let received = async {
                tokio::select! {
                    biased;
                    received = self.incoming.fill(self.stream) => Some(received),
                    () = self.shutdown.requested(), if !self.shutting_down => None,
                }
            };
            match timeout_at(self.deadline, received).await {
                Ok(Some(received)) => return Ok(received?),
                Ok(None) => {
                    self.shutting_down = true;
                    self.deadline = self.deadline.min(later(Instant::now(), SHUTDOWN_TIMEOUT));
                }
                Err(_) if self.shutting_down => return Ok(0),
                Err(_) => return Err(ConnectionError::HandshakeTimeout(self.allowed)),
            }
        }
    }

    /// Queues a reply.
    pub(super) fn reply(&mut self, option: u32, reply_type: u32, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        self.outgoing.put(&OptionReply {
            magic: wire::NBD_REP_MAGIC.into(),
            option: option.into(),
            reply_type: reply_type.into(),
            length: u32::try_from(length)
                .expect("a reply is some strings of at most 4096 bytes")
                .into(),
        });
        for part in parts {
            self.outgoing.put(*part);
        }
    }

    /// Queues a reply whose data is one message.
    pub(super) fn reply_message<T: IntoBytes + Immutable>(
        &mut self,
        option: u32,
        reply_type: u32,
        message: &T,
    ) {
        self.reply(option, reply_type, &[message.as_bytes()]);
    }

    /// Queues an error with a message.
    pub(super) fn reply_error(&mut self, option: u32, error: u32, text: &str) {
        info!(option, text, "option refused");
        self.reply(option, error, &[truncate(text).as_bytes()]);
    }

    /// Sends what is queued.
    pub(super) async fn flush(&mut self) -> Result<(), ConnectionError> {
        match timeout_at(self.deadline, self.outgoing.flush(self.stream)).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(ConnectionError::HandshakeTimeout(self.allowed)),
        }
    }
}

fn broken_off() -> ConnectionError {
    ConnectionError::Io(io::ErrorKind::UnexpectedEof.into())
}

/// `instant` and `duration` later, which counts as a day if it is longer.
pub(in crate::server) fn later(instant: Instant, duration: Duration) -> Instant {
    const DAY: Duration = Duration::from_secs(86_400);
    instant
        .checked_add(duration.min(DAY))
        .expect("the clock is far from its end")
}
