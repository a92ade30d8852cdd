//! Which parts of an export hold data: `base:allocation`, asked once, on a
//! connection of its own, so that nobody else waits for the answer.

use std::ops::Range;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    Error, Offer, Result,
    connection::{Request, encode},
    greeted, handshake, in_time,
    reply::{Chunk, failure, payload},
    stream::Stream,
};
use crate::{
    uri::Address,
    wire::{
        NBD_CMD_BLOCK_STATUS, NBD_CMD_DISC, NBD_REPLY_TYPE_BLOCK_STATUS, NBD_REPLY_TYPE_FLAG_ERROR,
        NBD_REPLY_TYPE_NONE, NBD_STATE_ZERO, NBD_STRUCTURED_REPLY_MAGIC,
    },
};

/// The most that is asked about at once: a whole number of blocks, however
/// large they are.
const MOST: u64 = 0xffff_0000;
/// A reply with more extents is not sane.
const MAXIMUM_EXTENTS: u32 = 1 << 20;
/// A disk in more pieces than this has the rest of it called data, which is
/// always true.
const MAXIMUM_RUNS: usize = 1 << 20;

/// Asks where an export holds more than zeroes: what it is, and the ranges, in
/// order; `None` when the server does not say.
pub async fn allocation(
    address: &Address,
    export: &str,
) -> Result<(Offer, Option<Vec<Range<u64>>>)> {
    let opened = async {
        let mut stream = greeted(address).await?;
        let (offer, context) = handshake::go_with_allocation(&mut stream, export).await?;
        Ok((stream, offer, context))
    };
    let (mut stream, offer, context) = in_time(address, opened).await?;
    let Some(context) = context else {
        return Ok((offer, None));
    };
    let mut asking = Asking {
        stream: &mut stream,
        context,
        cookie: 0,
        data: Vec::new(),
    };
    asking.all(offer.info.size).await?;
    let data = asking.data;
    let farewell = Request {
        cookie: 0,
        offset: 0,
        length: 0,
    };
    // The server may be gone before it hears this; we know what we wanted.
    let _said = send(&mut stream, NBD_CMD_DISC, farewell).await;
    Ok((offer, Some(data)))
}

async fn send(stream: &mut Box<dyn Stream>, command: u16, request: Request) -> Result<()> {
    let mut bytes = Vec::new();
    encode(command, request, &mut bytes);
    stream.write_all(&bytes).await?;
    Ok(stream.flush().await?)
}

struct Asking<'a> {
    stream: &'a mut Box<dyn Stream>,
    context: u32,
    cookie: u64,
    /// Where data lies, so far.
    data: Vec<Range<u64>>,
}

impl Asking<'_> {
    async fn all(&mut self, size: u64) -> Result<()> {
        let mut offset = 0;
        while offset < size {
            let length = size.saturating_sub(offset).min(MOST);
            self.cookie = self.cookie.wrapping_add(1);
            let request = Request {
                cookie: self.cookie,
                offset,
                length: u32::try_from(length).unwrap_or(u32::MAX),
            };
            send(self.stream, NBD_CMD_BLOCK_STATUS, request).await?;
            let end = self.answer(offset).await?;
            if end <= offset {
                return Err(Error::protocol("a block status that says nothing"));
            }
            offset = end;
        }
        // A lie may go on behind the end of the disk.
        self.data.retain(|run| run.start < size);
        if let Some(last) = self.data.last_mut() {
            last.end = last.end.min(size);
        }
        Ok(())
    }

    /// All chunks of one reply; where the last extent ends.
    async fn answer(&mut self, offset: u64) -> Result<u64> {
        let mut end = offset;
        let mut refused = None;
        loop {
            let magic = self.stream.read_u32().await?;
            if magic != NBD_STRUCTURED_REPLY_MAGIC {
                let text = format!("a reply that begins with {magic:#010x}");
                return Err(Error::protocol(text));
            }
            let chunk = Chunk::read(self.stream).await?;
            if chunk.cookie != self.cookie {
                return Err(Error::protocol("a chunk of no request"));
            }
            match chunk.kind {
                NBD_REPLY_TYPE_NONE if chunk.length == 0 && chunk.is_last() => {}
                NBD_REPLY_TYPE_BLOCK_STATUS if end == offset => {
                    end = self.extents(offset, chunk.length).await?;
                }
                kind if kind & NBD_REPLY_TYPE_FLAG_ERROR != 0 => {
                    refused = Some(failure(chunk.length, self.stream).await?);
                }
                kind => {
                    let text = format!("a chunk of type {kind} for a block status");
                    return Err(Error::protocol(text));
                }
            }
            if chunk.is_last() {
                return refused.map_or(Ok(end), Err);
            }
        }
    }

    /// The extents of one chunk, from `offset` on; where the last one ends.
    async fn extents(&mut self, mut offset: u64, length: u32) -> Result<u64> {
        let whole = length.checked_sub(4).filter(|rest| rest % 8 == 0);
        if whole.is_none_or(|rest| rest / 8 > MAXIMUM_EXTENTS) {
            let text = format!("a block status of {length} bytes");
            return Err(Error::protocol(text));
        }
        let bytes = payload(self.stream, length).await?;
        let (words, _) = bytes.as_chunks();
        let mut words = words.iter().map(|word| u32::from_be_bytes(*word));
        if words.next() != Some(self.context) {
            return Err(Error::protocol("a block status of another context"));
        }
        while let (Some(length), Some(status)) = (words.next(), words.next()) {
            if length == 0 {
                return Err(Error::protocol("an extent of no length"));
            }
            let end = offset.saturating_add(length.into());
            if status & NBD_STATE_ZERO == 0 {
                self.note(offset..end);
            }
            offset = end;
        }
        Ok(offset)
    }

    fn note(&mut self, run: Range<u64>) {
        let full = self.data.len() >= MAXIMUM_RUNS;
        match self.data.last_mut() {
            Some(last) if full || last.end == run.start => last.end = run.end,
            _ => self.data.push(run),
        }
    }
}
