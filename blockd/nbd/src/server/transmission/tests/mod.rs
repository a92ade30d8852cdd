//! The transmission phase, as a client sees it.

mod bounds;
mod commands;
mod reads;
mod writes;

use std::sync::Arc;

use zerocopy::FromBytes;

use crate::testing::{Chunk, Client, Region, Scripted};
use crate::wire::{self, BlockDescriptor};

pub(super) const READ: (u16, u16) = (0, wire::NBD_CMD_READ);
pub(super) const READ_DF: (u16, u16) = (wire::NBD_CMD_FLAG_DF, wire::NBD_CMD_READ);
pub(super) const STATUS: (u16, u16) = (0, wire::NBD_CMD_BLOCK_STATUS);
pub(super) const STATUS_ONE: (u16, u16) = (wire::NBD_CMD_FLAG_REQ_ONE, wire::NBD_CMD_BLOCK_STATUS);
pub(super) const FLUSH: (u16, u16) = (0, wire::NBD_CMD_FLUSH);
pub(super) const EINVAL: u32 = wire::NBD_EINVAL;

/// Data, hole, slow, broken, slow and broken, short, data.
pub(super) fn disk() -> Arc<Scripted> {
    use Region::{Broken, Data, Hole, Short, Slow, SlowAndBroken};
    Scripted::new(&[Data, Hole, Slow, Broken, SlowAndBroken, Short, Data])
}

pub(super) fn all_data(regions: usize) -> Arc<Scripted> {
    Scripted::new(&vec![Region::Data; regions])
}

/// The payload of a data chunk: its offset, and its bytes.
pub(super) fn data(chunk: &Chunk) -> (u64, &[u8]) {
    assert_eq!(chunk.kind, wire::NBD_REPLY_TYPE_OFFSET_DATA);
    let (offset, bytes) = chunk.payload.split_first_chunk().unwrap();
    (u64::from_be_bytes(*offset), bytes)
}

/// The payload of a hole chunk: its offset and length.
pub(super) fn hole(chunk: &Chunk) -> (u64, u32) {
    assert_eq!(chunk.kind, wire::NBD_REPLY_TYPE_OFFSET_HOLE);
    let hole = wire::OffsetHole::read_from_bytes(&chunk.payload).unwrap();
    (hole.offset.get(), hole.length.get())
}

/// The extents of a status chunk: length and status of each.
pub(super) async fn extents(client: &mut Client) -> Vec<(u32, u32)> {
    let chunk = client.chunk().await;
    assert_eq!(
        (chunk.kind, chunk.done),
        (wire::NBD_REPLY_TYPE_BLOCK_STATUS, true)
    );
    let (id, extents) = chunk.payload.split_first_chunk().unwrap();
    assert_eq!(u32::from_be_bytes(*id), 1);
    let extents = <[[u8; 8]]>::ref_from_bytes(extents).unwrap();
    let extents = extents
        .iter()
        .map(|bytes| BlockDescriptor::read_from_bytes(bytes).unwrap());
    extents
        .map(|extent| (extent.length.get(), extent.status.get()))
        .collect()
}
