//! The source of every byte of a disk.

use crate::{
    ext4::{BLOCK_SIZE, BlockNr, Region},
    image::{dir_layout::blocks_of, dirs::EntryRef, plan::Plan},
    numbers::{to_u64, to_usize},
};

/// Where the bytes of a piece come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// They are zeroes.
    Zero,
    /// A metadata block, from this byte of it on.
    Metadata {
        block: BlockNr,
        region: Region,
        inside: usize,
    },
    /// A file, from this byte of it on.
    File { entry: EntryRef, offset: u64 },
}

/// Contiguous bytes of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) source: Source,
    /// In bytes, at least 1.
    pub(super) length: u64,
}

const BLOCK: u64 = to_u64(BLOCK_SIZE);

impl Plan {
    /// The size of the disk in bytes.
    pub(super) fn size(&self) -> u64 {
        self.layout.block_count() * BLOCK
    }

    /// The piece that starts at `offset`, which lies on the disk.
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
                let inside = to_usize(inside);
                let source = Source::Metadata {
                    block,
                    region,
                    inside,
                };
                Piece {
                    source,
                    length: to_u64(BLOCK_SIZE - inside),
                }
            }
        }
    }

    fn data_piece(&self, data: u64, inside: u64) -> Piece {
        let (entry, block) = self.data_at(data);
        let size = self.child(entry).size;
        let offset = block * BLOCK + inside;
        match size.checked_sub(offset) {
            Some(length) if length > 0 => Piece {
                source: Source::File { entry, offset },
                length,
            },
            // The rest of the last block.
            _ => Piece {
                source: Source::Zero,
                length: (blocks_of(size) * BLOCK)
                    .checked_sub(offset)
                    .expect("a file has the blocks that its size needs"),
            },
        }
    }
}
