//! Inflating zlib streams piece by piece.

use std::io::{self, BufRead, Read};

use gix::zlib::{Decompress, FlushDecompress, Status};

use crate::numbers::to_usize;

/// A reader of the inflated bytes of one zlib stream. What follows the stream
/// in `input` is not read.
pub(in crate::git) struct Inflated<R> {
    input: R,
    state: Decompress,
    ended: bool,
}

impl<R: BufRead> Inflated<R> {
    pub(in crate::git) fn new(input: R) -> Self {
        Self {
            input,
            state: Decompress::new(),
            ended: false,
        }
    }
}

impl<R: BufRead> Read for Inflated<R> {
    /// Returns 0 only at the end of the stream. A truncated stream is an error.
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while !self.ended && !out.is_empty() {
            let input = self.input.fill_buf()?;
            let before = (self.state.total_in(), self.state.total_out());
            let status = self.state.decompress(input, out, FlushDecompress::None);
            let status =
                status.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let grown = |now: u64, before: u64| {
                let count = now.checked_sub(before);
                to_usize(count.expect("totals do not decrease"))
            };
            let consumed = grown(self.state.total_in(), before.0);
            let written = grown(self.state.total_out(), before.1);
            self.input.consume(consumed);
            self.ended = status == Status::StreamEnd;
            if written > 0 {
                return Ok(written);
            }
            if consumed == 0 && !self.ended {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the compressed stream is truncated",
                ));
            }
        }
        Ok(0)
    }
}

/// How much of an object of `size` bytes has to be read to notice that it is
/// longer. One of 2^64 - 1 bytes cannot be, and no disk holds it.
pub(in crate::git) fn one_more(size: u64) -> u64 {
    size.saturating_add(1)
}
