//! `NBD_CMD_BLOCK_STATUS` of `base:allocation`.

use zerocopy::byteorder::network_endian::U32;

use crate::{
    export::{Export, Extent},
    wire::{self, BlockDescriptor, MAX_ALIGNED_LENGTH},
};

/// How many extents a reply may have: 1 MiB of them. The client asks again where
/// they end.
const MAX_EXTENTS: usize = 1 << 17;

/// The extents from `offset` on, at least one, until they cover `length`; with
/// `one`, exactly one, and no longer than `length`.
pub(super) fn extents(
    export: &dyn Export,
    (offset, length): (u64, u32),
    one: bool,
) -> Vec<BlockDescriptor> {
    let mut run = Run {
        status: 0,
        start: 0,
        end: 0,
    };
    let mut reply = Descriptors {
        list: Vec::new(),
        requested: length.into(),
        limit: if one { 1 } else { MAX_EXTENTS },
        longest: if one {
            length.min(MAX_ALIGNED_LENGTH)
        } else {
            MAX_ALIGNED_LENGTH
        },
    };
    let on_disk = export.info().size.checked_sub(offset);
    let on_disk = on_disk.expect("a validated offset lies on the disk");
    export.extents(offset, &mut |extent| {
        let end = run.end.checked_add(extent.length);
        // Whatever the export says, nothing lies behind the end of the disk.
        let end = end.map_or(on_disk, |end| end.min(on_disk));
        let status = status(extent);
        if run.status != status {
            reply.add(&run);
            run.status = status;
            run.start = run.end;
        }
        run.end = end;
        run.end < on_disk && reply.wants_more(&run)
    });
    reply.add(&run);
    if reply.list.is_empty() {
        // The export has no extents here. "A server MAY always safely report a
        // status of 0 for any block".
        reply.add(&Run {
            status: 0,
            start: 0,
            end: length.into(),
        });
    }
    reply.list
}

/// Adjacent extents of one status, in bytes from the start of the request.
struct Run {
    status: u32,
    start: u64,
    end: u64,
}

/// The reply so far.
struct Descriptors {
    list: Vec<BlockDescriptor>,
    /// The length of the request.
    requested: u64,
    /// How many descriptors it may have.
    limit: usize,
    /// How long each of them may be; what is longer takes several.
    longest: u32,
}

impl Descriptors {
    /// Whether an extent behind `run`, which is not in the reply yet, can be part
    /// of it.
    fn wants_more(&self, run: &Run) -> bool {
        let one_is_enough = self.limit == 1 && !self.list.is_empty();
        run.end < self.requested && self.list.len() < MAX_EXTENTS && !one_is_enough
    }

    /// Adds a run. Only the last descriptor may pass the end of the request.
    fn add(&mut self, run: &Run) {
        let mut start = run.start;
        while start < run.end.min(self.requested) && self.list.len() < self.limit {
            let rest = run.end.abs_diff(start);
            let length = u32::try_from(rest).map_or(self.longest, |rest| rest.min(self.longest));
            self.list.push(BlockDescriptor {
                length: length.into(),
                status: U32::new(run.status),
            });
            let end = start.checked_add(length.into());
            start = end.expect("it is at most the end of the run");
        }
    }
}

fn status(extent: Extent) -> u32 {
    let hole = if extent.hole { wire::NBD_STATE_HOLE } else { 0 };
    let zero = if extent.zero { wire::NBD_STATE_ZERO } else { 0 };
    hole | zero
}
