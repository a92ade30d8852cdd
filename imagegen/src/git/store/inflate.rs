//! A zlib stream read piece by piece.

use std::io::{self, BufRead, Read};

use gix::zlib::{Decompress, FlushDecompress, Status};

/// The inflated bytes of one zlib stream; what follows the stream is left
/// alone.
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
    /// Returns 0 at the stream's own end only; a stream that breaks off is an
    /// error.
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while !self.ended && !out.is_empty() {
            let input = self.input.fill_buf()?;
            let before = (self.state.total_in(), self.state.total_out());
            let status = self.state.decompress(input, out, FlushDecompress::None);
            let status =
                status.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let consumed = self.state.total_in().saturating_sub(before.0);
            let written = self.state.total_out().saturating_sub(before.1);
            self.input
                .consume(usize::try_from(consumed).unwrap_or(usize::MAX));
            self.ended = status == Status::StreamEnd;
            if written > 0 {
                return Ok(usize::try_from(written).unwrap_or(usize::MAX));
            }
            if consumed == 0 && !self.ended {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the compressed stream breaks off",
                ));
            }
        }
        Ok(0)
    }
}
