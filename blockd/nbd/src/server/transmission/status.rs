//! `NBD_CMD_BLOCK_STATUS`: the extents of `base:allocation`.

use zerocopy::byteorder::network_endian::U32;

use crate::wire::{self, BlockDescriptor};
use crate::{Export, Extent};

/// A reply of 1 MiB; the client asks again where it ends.
const MAX_EXTENTS: usize = 1 << 17;
/// The longest extent that the 32 bits of a descriptor hold and that is a
/// whole number of blocks, however large they are. What is longer is said in
/// several descriptors.
const MAX_EXTENT: u64 = 0xffff_0000;

/// The extents from `offset` on, at least one, until they cover `length`;
/// with `one`, exactly one, and no longer than `length`.
pub(super) fn extents(
    export: &dyn Export,
    (offset, length): (u64, u32),
    one: bool,
) -> Vec<BlockDescriptor> {
    let mut run = Run {
        status: 0,
        length: 0,
        before: 0,
    };
    let mut status = Status {
        descriptors: Vec::new(),
        wanted: length.into(),
        one,
    };
    let on_disk = export.info().size.saturating_sub(offset);
    export.extents(offset, &mut |extent| {
        let rest = on_disk.saturating_sub(run.end());
        let length = extent.length.min(rest);
        if run.length > 0 && run.status != flags(extent) {
            status.put(&run);
            run = Run {
                status: run.status,
                length: 0,
                before: run.end(),
            };
        }
        run = Run {
            status: flags(extent),
            length: run.length.saturating_add(length),
            ..run
        };
        run.end() < on_disk && status.wants_more(&run)
    });
    status.put(&run);
    if status.descriptors.is_empty() {
        // "A server MAY always safely report a status of 0 for any block."
        status.put(&Run {
            status: 0,
            length: length.into(),
            before: 0,
        });
    }
    status.descriptors
}

/// Extents of one status that follow each other.
struct Run {
    status: u32,
    length: u64,
    /// Bytes from the first extent to this run.
    before: u64,
}

impl Run {
    fn end(&self) -> u64 {
        self.before.saturating_add(self.length)
    }
}

struct Status {
    descriptors: Vec<BlockDescriptor>,
    wanted: u64,
    one: bool,
}

impl Status {
    /// Whether an extent after `run` may be in the reply.
    fn wants_more(&self, run: &Run) -> bool {
        let first = self.descriptors.is_empty();
        run.end() < self.wanted && self.descriptors.len() < MAX_EXTENTS && (first || !self.one)
    }

    /// Only the last descriptor may pass the range that was asked for.
    fn put(&mut self, run: &Run) {
        let mut said = run.before;
        while said < run.end().min(self.wanted) && self.has_room() {
            let longest = if self.one {
                self.wanted.min(MAX_EXTENT)
            } else {
                MAX_EXTENT
            };
            let length = run.end().saturating_sub(said).min(longest);
            self.descriptors.push(BlockDescriptor {
                length: u32::try_from(length).unwrap_or(u32::MAX).into(),
                status: U32::new(run.status),
            });
            said = said.saturating_add(length);
        }
    }

    fn has_room(&self) -> bool {
        self.descriptors.len() < if self.one { 1 } else { MAX_EXTENTS }
    }
}

fn flags(extent: Extent) -> u32 {
    let hole = if extent.hole { wire::NBD_STATE_HOLE } else { 0 };
    let zero = if extent.zero { wire::NBD_STATE_ZERO } else { 0 };
    hole | zero
}
