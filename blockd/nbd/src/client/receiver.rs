//! The reader's end of a connection.

use std::{collections::HashMap, sync::Arc};

use tokio::io::{AsyncReadExt, BufReader, ReadHalf};

use super::{
    Error, Result,
    connection::Table,
    reply::{Assembly, Chunk, payload},
    stream::Stream,
};
use crate::wire::{NBD_SIMPLE_REPLY_MAGIC, NBD_STRUCTURED_REPLY_MAGIC};

/// Replies smaller than this are received several at a time.
const RECEIVE_BUFFER: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Receiver {
    stream: BufReader<ReadHalf<Box<dyn Stream>>>,
    structured: bool,
    /// Reads of which some chunks have come.
    parts: HashMap<u64, Assembly>,
    table: Arc<Table>,
}

impl Receiver {
    pub(super) fn new(
        stream: ReadHalf<Box<dyn Stream>>,
        structured: bool,
        table: Arc<Table>,
    ) -> Self {
        Self {
            stream: BufReader::with_capacity(RECEIVE_BUFFER, stream),
            structured,
            parts: HashMap::new(),
            table,
        }
    }

    /// Gives every reply to who waits for it, until one cannot be understood.
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

    async fn simple(&mut self) -> Result<()> {
        let code = self.stream.read_u32().await?;
        let waiting = self.table.take(self.stream.read_u64().await?)?;
        let answer = match code {
            0 => match payload(&mut self.stream, waiting.length).await {
                Ok(bytes) => Ok(bytes),
                Err(error) => {
                    let _gone = waiting.answer.send(Err(error.clone()));
                    return Err(error);
                }
            },
            code => Err(Error::Remote {
                code,
                text: String::new(),
            }),
        };
        let _gone = waiting.answer.send(answer);
        Ok(())
    }

    async fn chunk(&mut self) -> Result<()> {
        let chunk = Chunk::read(&mut self.stream).await?;
        let mut part = if let Some(part) = self.parts.remove(&chunk.cookie) {
            part
        } else {
            let (offset, length) = self.table.range(chunk.cookie)?;
            Assembly::new(offset, length)?
        };
        part.take(chunk, &mut self.stream).await?;
        if chunk.is_last() {
            let answer = part.finish()?;
            let _gone = self.table.take(chunk.cookie)?.answer.send(answer);
        } else {
            self.parts.insert(chunk.cookie, part);
        }
        Ok(())
    }
}
