//! Which parts of an export hold data: `NBD_CMD_BLOCK_STATUS` of
//! `base:allocation` over the whole export, on a connection of its own, so that
//! no read waits behind it.

use std::ops::Range;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    connect::open_with_allocation,
    error::{Error, Result},
    handshake::Offer,
    reply::{Chunk, failure, payload},
    request::{Request, disconnect},
    stream::Stream,
};
use crate::{
    token::Asked,
    uri::Address,
    wire::{
        MAX_ALIGNED_LENGTH, NBD_CMD_BLOCK_STATUS, NBD_REPLY_TYPE_BLOCK_STATUS,
        NBD_REPLY_TYPE_FLAG_ERROR, NBD_REPLY_TYPE_NONE, NBD_STATE_ZERO, NBD_STRUCTURED_REPLY_MAGIC,
    },
};

/// How many extents one reply may have.
const MAX_EXTENTS: u32 = 1 << 20;
/// How many ranges are reported. Beyond the last one everything is reported as one,
/// up to the end of the last extent of data, which is always true of
/// `base:allocation`.
const MAX_RANGES: usize = 1 << 20;

/// Asks where an export holds more than zeroes.
///
/// Returns the server's offer and the ranges of data in ascending order, in
/// bytes; `None` when the server does not support `base:allocation`. What lies
/// outside the ranges reads as zeroes (`NBD_STATE_ZERO`).
///
/// # Errors
///
/// As [`info`](super::info()), and [`Error::Remote`] when the server fails to
/// answer `NBD_CMD_BLOCK_STATUS`.
pub async fn allocation<'a>(
    address: &Address,
    export: impl Into<Asked<'a>>,
) -> Result<(Offer, Option<Vec<Range<u64>>>)> {
    let (mut stream, offer, context) = open_with_allocation(address, export.into()).await?;
    let Some(context) = context else {
        return Ok((offer, None));
    };
    let mut query = Query {
        stream: &mut stream,
        context,
        cookie: 0,
        data: Vec::new(),
    };
    query.whole_export(offer.info.size).await?;
    let data = query.data;
    // All replies are here; if the server is gone already, nothing is lost.
    let _best_effort = send(&mut stream, &disconnect()).await;
    Ok((offer, Some(data)))
}

async fn send(stream: &mut Box<dyn Stream>, bytes: &[u8]) -> Result<()> {
    stream.write_all(bytes).await?;
    Ok(stream.flush().await?)
}

struct Query<'a> {
    stream: &'a mut Box<dyn Stream>,
    /// The id of `base:allocation` on this connection.
    context: u32,
    /// Of the latest request.
    cookie: u64,
    /// Ranges of data so far.
    data: Vec<Range<u64>>,
}

impl Query<'_> {
    async fn whole_export(&mut self, size: u64) -> Result<()> {
        let mut offset = 0;
        while let Some(rest) = size.checked_sub(offset).filter(|rest| *rest > 0) {
            let length =
                u32::try_from(rest).map_or(MAX_ALIGNED_LENGTH, |rest| rest.min(MAX_ALIGNED_LENGTH));
            self.cookie = self.cookie.wrapping_add(1);
            let request = Request {
                cookie: self.cookie,
                offset,
                length,
            };
            let mut bytes = Vec::new();
            request.encode(NBD_CMD_BLOCK_STATUS, &mut bytes);
            send(self.stream, &bytes).await?;
            let end = self.reply(offset).await?;
            if end <= offset {
                return Err(Error::protocol("a block status without extents"));
            }
            offset = end;
        }
        // The last extent of a reply may pass the end of the request, and a
        // server that is wrong about it the end of the disk.
        self.data.retain(|range| range.start < size);
        if let Some(last) = self.data.last_mut() {
            last.end = last.end.min(size);
        }
        Ok(())
    }

    /// Receives all chunks of the reply to a request at `offset`; returns where
    /// the last extent ends.
    async fn reply(&mut self, offset: u64) -> Result<u64> {
        let mut end = offset;
        let mut error = None;
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
                    error = Some(failure(chunk.length, self.stream).await?);
                }
                kind => {
                    let text = format!("a chunk of type {kind} for a block status");
                    return Err(Error::protocol(text));
                }
            }
            if chunk.is_last() {
                return error.map_or(Ok(end), Err);
            }
        }
    }

    /// Receives the extents of one chunk, the first of which begins at `offset`;
    /// returns where the last one ends.
    async fn extents(&mut self, mut offset: u64, length: u32) -> Result<u64> {
        let descriptors = length.checked_sub(4).filter(|rest| rest % 8 == 0);
        if descriptors.is_none_or(|rest| rest / 8 > MAX_EXTENTS) {
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
            let end = offset
                .checked_add(length.into())
                .ok_or_else(|| Error::protocol("an extent past the last offset"))?;
            if status & NBD_STATE_ZERO == 0 {
                self.add_data(offset..end);
            }
            offset = end;
        }
        Ok(offset)
    }

    fn add_data(&mut self, range: Range<u64>) {
        let full = self.data.len() >= MAX_RANGES;
        match self.data.last_mut() {
            Some(last) if full || last.end == range.start => last.end = range.end,
            _ => self.data.push(range),
        }
    }
}
