//! What lies at a byte of the disk.

use crate::{
    ext4::{BLOCK_SIZE, BlockNr, Region},
    image::{
        numbers::{narrow, wide},
        plan::{Place, Plan},
        shape::blocks_of,
    },
};

/// Where the bytes of a piece come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// They are zeroes.
    Zero,
    /// From a metadata block; the piece begins at this byte of it.
    Metadata {
        block: BlockNr,
        region: Region,
        inside: usize,
    },
    /// From a file; the piece begins at this byte of it.
    File { place: Place, offset: u64 },
}

/// Bytes in a row from one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) source: Source,
    /// Bytes, never 0.
    pub(super) length: u64,
}

const BLOCK: u64 = 4096;

impl Plan {
    /// Bytes on the disk.
    pub(super) fn size(&self) -> u64 {
        self.layout.block_count() * BLOCK
    }

    /// The piece that begins at `offset`, which is on the disk.
    pub(super) fn piece(&self, offset: u64) -> Piece {
        let block = BlockNr(offset / BLOCK);
        let inside = offset % BLOCK;
        match self.layout.region(block) {
            Region::Data(data) => self.data_piece(data, inside),
            Region::Zero => {
                let run = self.layout.run(block);
                let end = if run.zero { run.end.0 } else { block.0 + 1 };
                Piece {
                    source: Source::Zero,
                    length: end * BLOCK - offset,
                }
            }
            region => {
                let inside = narrow(inside);
                let source = Source::Metadata {
                    block,
                    region,
                    inside,
                };
                Piece {
                    source,
                    length: wide(BLOCK_SIZE - inside),
                }
            }
        }
    }

    fn data_piece(&self, data: u64, inside: u64) -> Piece {
        let (place, block) = self.data_at(data);
        let size = self.child(place).size;
        let offset = block * BLOCK + inside;
        match size.checked_sub(offset) {
            Some(length) if length > 0 => Piece {
                source: Source::File { place, offset },
                length,
            },
            _ => Piece {
                source: Source::Zero,
                length: blocks_of(size) * BLOCK - offset,
            },
        }
    }
}
