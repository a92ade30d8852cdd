//! The first block of the disk, which is the same for every reader: attach checks the
//! superblock in it, and the kernel reads it once more. A server must not show one to
//! the one and another to the other.

use std::sync::OnceLock;

/// The bytes of the block.
pub(super) const LENGTH: u32 = 4096;
/// The same, as the length of a slice.
pub(super) const BYTES: usize = 4096;

/// The first block, as it was first read.
#[derive(Debug, Default)]
pub(super) struct FirstBlock(OnceLock<Vec<u8>>);

impl FirstBlock {
    /// Whether a read at this offset has a part of it.
    pub(super) fn is_in(offset: u64) -> bool {
        offset < u64::from(LENGTH)
    }

    pub(super) fn is_known(&self) -> bool {
        self.0.get().is_some()
    }

    /// Keeps the block, or what the disk has of it, unless one is kept already.
    pub(super) fn keep(&self, block: Vec<u8>) {
        let _kept_before = self.0.set(block);
    }

    /// Puts the block that is kept over what was read at `offset`.
    pub(super) fn put_over(&self, offset: u64, read: &mut [u8]) {
        let kept = self.0.get().map_or(&[][..], Vec::as_slice);
        let offset = usize::try_from(offset).ok();
        let Some(kept) = offset.and_then(|offset| kept.get(offset..)) else {
            return;
        };
        for (byte, kept) in read.iter_mut().zip(kept) {
            *byte = *kept;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_block_that_was_kept_counts() {
        let first = FirstBlock::default();
        let mut read = [1; 8];
        first.put_over(0, &mut read);
        assert_eq!(read, [1; 8]);
        assert!(!first.is_known());
        first.keep(vec![2; 4096]);
        first.keep(vec![3; 4096]);
        first.put_over(4092, &mut read);
        assert_eq!(read, [2, 2, 2, 2, 1, 1, 1, 1]);
        first.put_over(4096, &mut read);
        first.put_over(u64::MAX, &mut read);
        assert_eq!(read, [2, 2, 2, 2, 1, 1, 1, 1]);
        assert!(FirstBlock::is_in(4095) && !FirstBlock::is_in(4096));
    }
}
