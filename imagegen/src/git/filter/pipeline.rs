//! The stages of a conversion, one after the other, over a text that passes
//! through piece by piece: no blob is held for it.

use super::{
    encoding::Encoder,
    eol::Crlf,
    failure::Result,
    ident::{Streamed, Whole},
};
use crate::{
    error,
    git::Blob,
    numbers::{to_u64, to_usize},
};

/// The length of a piece in bytes. A stage makes about twenty times as much of
/// it at most.
const PIECE: usize = 32 << 10;

/// One stage.
#[derive(Debug)]
pub(super) enum Stage {
    Streamed(Streamed),
    Whole(Whole),
    Crlf(Crlf),
    Encode(Encoder),
}

impl Stage {
    fn push(&mut self, piece: &[u8], last: bool, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Streamed(ident) => {
                ident.push(piece, out)?;
                if last {
                    ident.finish(out);
                }
            }
            Self::Whole(ident) => {
                ident.push(piece, out)?;
                if last {
                    ident.finish(out);
                }
            }
            Self::Crlf(crlf) => crlf.push(piece, out),
            Self::Encode(encoder) => {
                encoder.push(piece, out)?;
                if last {
                    encoder.finish()?;
                }
            }
        }
        Ok(())
    }
}

/// Sends a blob through `stages`, and what comes out to `sink`.
///
/// # Errors
///
/// As the stages, reading the blob, and `sink` fail.
pub(super) fn run(
    blob: &Blob,
    stages: impl IntoIterator<Item = Stage>,
    sink: &mut dyn FnMut(&[u8]) -> error::Result<()>,
) -> Result<()> {
    let mut stages: Vec<_> = stages
        .into_iter()
        .map(|stage| (stage, Vec::new()))
        .collect();
    each_piece(blob, |piece, last| {
        let mut text = piece;
        for (stage, out) in &mut stages {
            out.clear();
            stage.push(text, last, out)?;
            text = out;
        }
        Ok(sink(text)?)
    })
}

/// The length in bytes of what comes out of `stages`.
///
/// # Errors
///
/// As [`run`].
pub(super) fn length(blob: &Blob, stages: impl Iterator<Item = Stage>) -> Result<u64> {
    let mut stages = stages.peekable();
    if stages.peek().is_none() {
        return Ok(blob.len());
    }
    let mut length = 0;
    run(blob, stages, &mut |piece| {
        length += to_u64(piece.len());
        Ok(())
    })?;
    Ok(length)
}

/// Calls `each` with the pieces of a blob, and with whether it is the last one.
fn each_piece(blob: &Blob, mut each: impl FnMut(&[u8], bool) -> Result<()>) -> Result<()> {
    let length = blob.len();
    let mut buffer = vec![0; PIECE.min(to_usize(length))];
    let mut offset = 0;
    loop {
        let left = length - offset;
        let piece = match blob {
            Blob::InMemory(bytes) => {
                let (_, rest) = bytes.split_at(to_usize(offset));
                rest.split_at(PIECE.min(rest.len())).0
            }
            Blob::Spooled(_) => {
                let (piece, _) = buffer.split_at_mut(PIECE.min(to_usize(left)));
                blob.read_at(offset, piece)?;
                piece
            }
        };
        offset += to_u64(piece.len());
        each(piece, offset == length)?;
        if offset == length {
            return Ok(());
        }
    }
}
