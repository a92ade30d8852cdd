//! How large a log may become, and which offsets it has.

use super::LogError;

/// How large logs may become, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The size of a segment.
    pub segment: u64,
    /// How much of one run is retained.
    pub run: u64,
    /// How much of all runs together is retained; at least `run`.
    pub total: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            segment: 64 << 20,
            run: 1 << 30,
            total: 4 << 30,
        }
    }
}

/// Which offsets a log has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extent {
    /// The first offset that is still retained.
    pub first: u64,
    /// One after the last offset.
    pub end: u64,
    /// Whether the run is over, so that nothing will be appended.
    pub finished: bool,
    /// How many bytes of the output are missing from the log.
    pub missing: u64,
    /// Why nothing can be appended now.
    pub error: Option<LogError>,
}

/// The smaller of a number of bytes that may not fit `usize` and one that does.
pub(crate) fn at_most(available: u64, buffer: usize) -> usize {
    // What does not fit is larger than any buffer.
    usize::try_from(available).map_or(buffer, |available| available.min(buffer))
}

/// A length in memory as a number of bytes on disk.
pub(super) fn bytes(length: usize) -> u64 {
    u64::try_from(length).expect("usize has at most 64 bits")
}
