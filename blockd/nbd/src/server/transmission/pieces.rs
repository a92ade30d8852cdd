//! A read, cut where the disk changes between zeroes and data.

use super::request::Read;
use crate::Export;

/// Shorter runs of zeroes are not worth a chunk of their own.
const SHORTEST_HOLE: u32 = 4096;

/// A part of a read: one content chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) zeroes: bool,
}

/// The content chunks of a read, in order, in `pieces`. They cover it.
pub(super) fn cut(export: &dyn Export, read: Read, pieces: &mut Vec<Piece>) {
    pieces.clear();
    if read.length == 0 {
        return;
    }
    let mut rest = Piece {
        offset: read.offset,
        length: read.length,
        zeroes: false,
    };
    export.extents(read.offset, &mut |extent| {
        let length = u32::try_from(extent.length)
            .unwrap_or(u32::MAX)
            .min(rest.length);
        pieces.push(Piece {
            offset: rest.offset,
            length,
            zeroes: extent.zero,
        });
        rest.offset = rest.offset.saturating_add(length.into());
        rest.length = rest.length.saturating_sub(length);
        rest.length > 0
    });
    // Only an export that does not know its own size leaves a rest.
    pieces.push(rest);
    pieces.retain(|piece| piece.length > 0);
    join_neighbours(pieces);
    if pieces.len() > 1 {
        for piece in pieces.iter_mut() {
            piece.zeroes &= read.fragments && piece.length >= SHORTEST_HOLE;
        }
        join_neighbours(pieces);
    }
}

/// Pieces of one kind that follow each other become one.
fn join_neighbours(pieces: &mut Vec<Piece>) {
    pieces.dedup_by(|next, last| {
        let same = next.zeroes == last.zeroes;
        if same {
            last.length = last.length.saturating_add(next.length);
        }
        same
    });
}
