//! Numbers between memory and disk.

/// A count of things in memory, for sums over disks.
pub(super) fn wide(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// A position in memory. What it counts is in memory, so it fits.
pub(super) fn narrow(value: impl TryInto<usize>) -> usize {
    value.try_into().unwrap_or(usize::MAX)
}
