//! A range of blocks that changed: what the map applies and the journal stores.

/// Bytes of a block, the unit of change.
pub(super) const BLOCK: u64 = 4096;

/// What some blocks were changed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Data, in the file `blocks`.
    Data,
    /// Zeroes, which are not stored.
    Zero,
}

/// A range of blocks that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) kind: Kind,
    /// The first block.
    pub(super) start: u64,
    /// How many.
    pub(super) count: u64,
}
