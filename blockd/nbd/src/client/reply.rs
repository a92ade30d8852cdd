//! Replies to reads: a simple reply, or the chunks of a structured one put
//! together.

use tokio::io::{AsyncRead, AsyncReadExt};

use super::error::{Error, Result};
use crate::{
    width::to_usize,
    wire::{
        MAX_STRING, NBD_REPLY_FLAG_DONE, NBD_REPLY_TYPE_FLAG_ERROR, NBD_REPLY_TYPE_NONE,
        NBD_REPLY_TYPE_OFFSET_DATA, NBD_REPLY_TYPE_OFFSET_HOLE,
    },
};

/// How many separate pieces of one read may have come at a time, which bounds
/// the work for each chunk.
const MAX_PIECES: usize = 1024;
/// How long the payload of an error chunk may be, in bytes: a message, its
/// length, the error and, in some types, an offset.
const MAX_ERROR_CHUNK: u32 = 4096 + 16;
const _: () = assert!(MAX_STRING == 4096);

/// The header of a structured reply chunk, after its magic.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    flags: u16,
    pub(super) kind: u16,
    pub(super) cookie: u64,
    pub(super) length: u32,
}

impl Chunk {
    pub(super) async fn read<R: AsyncRead + Unpin>(stream: &mut R) -> Result<Self> {
        Ok(Self {
            flags: stream.read_u16().await?,
            kind: stream.read_u16().await?,
            cookie: stream.read_u64().await?,
            length: stream.read_u32().await?,
        })
    }

    pub(super) fn is_last(self) -> bool {
        self.flags & NBD_REPLY_FLAG_DONE != 0
    }
}

/// Reads `length` bytes. `length` is bounded by the caller, never by the server
/// alone.
pub(super) async fn payload<R: AsyncRead + Unpin>(stream: &mut R, length: u32) -> Result<Vec<u8>> {
    let mut bytes = vec![0; to_usize(length)];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// One read, as far as its chunks have come.
#[derive(Debug)]
pub(super) struct Assembly {
    offset: u64,
    bytes: Vec<u8>,
    /// Which bytes have come, as start and end: sorted, and merged where they
    /// touch.
    pieces: Vec<(usize, usize)>,
    error: Option<Error>,
}

impl Assembly {
    /// A read of `length` bytes at `offset`, no chunk of which has come.
    pub(super) fn new(offset: u64, length: u32) -> Self {
        Self {
            offset,
            bytes: vec![0; to_usize(length)],
            pieces: Vec::new(),
            error: None,
        }
    }

    /// Receives the payload of one chunk.
    pub(super) async fn add<R: AsyncRead + Unpin>(
        &mut self,
        chunk: Chunk,
        stream: &mut R,
    ) -> Result<()> {
        match chunk.kind {
            NBD_REPLY_TYPE_NONE if chunk.length == 0 && chunk.is_last() => Ok(()),
            NBD_REPLY_TYPE_OFFSET_DATA => self.data(chunk.length, stream).await,
            NBD_REPLY_TYPE_OFFSET_HOLE if chunk.length == 12 => self.hole(stream).await,
            kind if kind & NBD_REPLY_TYPE_FLAG_ERROR != 0 => {
                self.failure(chunk.length, stream).await
            }
            kind => {
                let length = chunk.length;
                Err(Error::protocol(format!(
                    "a chunk of type {kind} with {length} bytes"
                )))
            }
        }
    }

    async fn data<R: AsyncRead + Unpin>(&mut self, length: u32, stream: &mut R) -> Result<()> {
        let length = length
            .checked_sub(8)
            .ok_or_else(|| Error::protocol("a data chunk without offset"))?;
        let (start, end) = self.claim(stream.read_u64().await?, length)?;
        let target = self
            .bytes
            .get_mut(start..end)
            .expect("a claimed range lies in the read");
        stream.read_exact(target).await?;
        Ok(())
    }

    async fn hole<R: AsyncRead + Unpin>(&mut self, stream: &mut R) -> Result<()> {
        let offset = stream.read_u64().await?;
        let length = stream.read_u32().await?;
        // The buffer is zeroes where no chunk has come.
        self.claim(offset, length).map(|_| ())
    }

    async fn failure<R: AsyncRead + Unpin>(&mut self, length: u32, stream: &mut R) -> Result<()> {
        self.error.get_or_insert(failure(length, stream).await?);
        Ok(())
    }

    /// Marks a range as received, and returns where it lies in the read. An
    /// empty range, one outside the read, and one that overlaps another chunk
    /// are errors.
    fn claim(&mut self, offset: u64, length: u32) -> Result<(usize, usize)> {
        let outside = || Error::protocol("a chunk outside the requested range");
        let start = offset.checked_sub(self.offset).ok_or_else(outside)?;
        let start = usize::try_from(start).map_err(|_| outside())?;
        let end = start
            .checked_add(to_usize(length))
            .filter(|end| *end <= self.bytes.len());
        let end = end.filter(|end| *end > start).ok_or_else(outside)?;
        let at = self.pieces.partition_point(|piece| piece.0 < start);
        let before = at.checked_sub(1).and_then(|before| self.pieces.get(before));
        let overlaps = before.is_some_and(|piece| piece.1 > start)
            || self.pieces.get(at).is_some_and(|piece| piece.0 < end);
        if overlaps {
            return Err(Error::protocol("chunks that overlap"));
        }
        self.pieces.insert(at, (start, end));
        self.pieces.dedup_by(|right, left| {
            let touches = left.1 == right.0;
            if touches {
                left.1 = right.1;
            }
            touches
        });
        if self.pieces.len() > MAX_PIECES {
            return Err(Error::protocol("a read in too many separate chunks"));
        }
        Ok((start, end))
    }

    /// The result after the last chunk: the bytes, or the error that the server
    /// reports for this read. The outer error is a violation of the protocol.
    pub(super) fn finish(self) -> Result<Result<Vec<u8>>> {
        match self.error {
            Some(error) => Ok(Err(error)),
            None if self.pieces.as_slice() == [(0, self.bytes.len())] => Ok(Ok(self.bytes)),
            None => Err(Error::protocol("chunks that do not cover the read")),
        }
    }
}

/// Receives the payload of an error chunk of `length` bytes.
pub(super) async fn failure<R: AsyncRead + Unpin>(length: u32, stream: &mut R) -> Result<Error> {
    if !(6..=MAX_ERROR_CHUNK).contains(&length) {
        return Err(Error::protocol(format!("an error chunk of {length} bytes")));
    }
    let body = payload(stream, length).await?;
    let malformed = || Error::protocol("an error chunk of the wrong length");
    let (code, rest) = body.as_slice().split_first_chunk().ok_or_else(malformed)?;
    let (length, rest) = rest.split_first_chunk().ok_or_else(malformed)?;
    let text = rest
        .get(..usize::from(u16::from_be_bytes(*length)))
        .ok_or_else(malformed)?;
    let text = String::from_utf8_lossy(text).into_owned();
    Ok(Error::Remote {
        code: u32::from_be_bytes(*code),
        text,
    })
}
