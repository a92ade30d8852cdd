//! Numbers between the width of memory and the width of files.

/// A length in memory as a length in a file.
pub(super) fn to_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// The part of a file's length that memory can index; the rest is cut off.
pub(super) fn to_usize(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
