//! The receiving side of a connection.

use std::{collections::HashMap, sync::Arc};

use tokio::io::{AsyncReadExt, BufReader, ReadHalf};

use super::{
    error::{Error, Result},
    in_flight::InFlight,
    reply::{Assembly, Chunk, payload},
    stream::Stream,
};
use crate::wire::{NBD_SIMPLE_REPLY_MAGIC, NBD_STRUCTURED_REPLY_MAGIC};

/// Replies smaller than this, in bytes, are received several at a time.
const RECEIVE_BUFFER: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Receiver {
    stream: BufReader<ReadHalf<Box<dyn Stream>>>,
    structured: bool,
    /// Reads of which some chunks have come, by cookie.
    incomplete: HashMap<u64, Assembly>,
    in_flight: Arc<InFlight>,
}

impl Receiver {
    pub(super) fn new(
        stream: ReadHalf<Box<dyn Stream>>,
        structured: bool,
        in_flight: Arc<InFlight>,
    ) -> Self {
        Self {
            stream: BufReader::with_capacity(RECEIVE_BUFFER, stream),
            structured,
            incomplete: HashMap::new(),
            in_flight,
        }
    }

    /// Completes reads as replies come, until the connection fails; returns the
    /// reason.
    pub(super) async fn run(mut self) -> Error {
        loop {
            if let Err(error) = self.reply().await {
                return error;
            }
        }
    }

    async fn reply(&mut self) -> Result<()> {
        match self.stream.read_u32().await? {
            NBD_SIMPLE_REPLY_MAGIC if !self.structured => self.simple().await,
            NBD_STRUCTURED_REPLY_MAGIC if self.structured => self.chunk().await,
            magic => Err(Error::protocol(format!(
                "a reply that begins with {magic:#010x}"
            ))),
        }
    }

    /// The read stays among the pending ones until its last byte has come: one that
    /// drips is overdue at some time, as one that does not come at all.
    async fn simple(&mut self) -> Result<()> {
        let code = self.stream.read_u32().await?;
        let cookie = self.stream.read_u64().await?;
        let (_, length) = self.in_flight.range(cookie)?;
        let result = match code {
            0 => Ok(payload(&mut self.stream, length).await?),
            code => Err(Error::Remote {
                code,
                text: String::new(),
            }),
        };
        self.in_flight.remove(cookie)?.complete(result);
        Ok(())
    }

    async fn chunk(&mut self) -> Result<()> {
        let chunk = Chunk::read(&mut self.stream).await?;
        let mut assembly = if let Some(assembly) = self.incomplete.remove(&chunk.cookie) {
            assembly
        } else {
            let (offset, length) = self.in_flight.range(chunk.cookie)?;
            Assembly::new(offset, length)
        };
        assembly.add(chunk, &mut self.stream).await?;
        if chunk.is_last() {
            let result = assembly.finish()?;
            self.in_flight.remove(chunk.cookie)?.complete(result);
        } else {
            self.incomplete.insert(chunk.cookie, assembly);
        }
        Ok(())
    }
}
