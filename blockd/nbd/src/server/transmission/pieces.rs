//! A read, cut where the export changes between zeroes and data.

use super::request::Read;
use crate::export::Export;

/// Fewer zeroes than this, in bytes, are sent as data: a chunk of their own would
/// save little.
const MIN_HOLE: u32 = 4096;

/// A part of a read that is sent as one content chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) zeroes: bool,
}

impl Piece {
    /// What lies behind the first `length` bytes, which are not more than all.
    fn after(self, length: u32) -> Self {
        let offset = self.offset.checked_add(length.into());
        let rest = self.length.checked_sub(length);
        let (offset, length) = offset.zip(rest).expect("a piece lies on the disk");
        Self {
            offset,
            length,
            ..self
        }
    }
}

/// Replaces `pieces` by those of `read`: in order, none empty, covering all of it.
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
        // What is longer than 32 bits is longer than the rest.
        let length = u32::try_from(extent.length).map_or(rest.length, |l| l.min(rest.length));
        pieces.push(Piece {
            offset: rest.offset,
            length,
            zeroes: extent.zero,
        });
        rest = rest.after(length);
        rest.length > 0
    });
    // An export that knows its size leaves no rest; data is right for any.
    pieces.push(rest);
    pieces.retain(|piece| piece.length > 0);
    join_neighbours(pieces);
    if pieces.len() > 1 {
        for piece in pieces.iter_mut() {
            piece.zeroes &= read.fragments && piece.length >= MIN_HOLE;
        }
        join_neighbours(pieces);
    }
}

/// Joins adjacent pieces of the same kind.
fn join_neighbours(pieces: &mut Vec<Piece>) {
    pieces.dedup_by(|next, last| {
        let same = next.zeroes == last.zeroes;
        if same {
            last.length = last
                .length
                .checked_add(next.length)
                .expect("all pieces together are as long as the read");
        }
        same
    });
}
