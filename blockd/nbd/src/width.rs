//! Conversions between the protocol's numbers and the sizes of memory.
//!
//! They cannot fail: a `usize` holds at least 32 bits and at most 64.

const _: () = assert!(usize::BITS >= u32::BITS && usize::BITS <= u64::BITS);

/// A length of the protocol as a length in memory.
pub(crate) fn to_usize(length: u32) -> usize {
    usize::try_from(length).expect("a usize holds 32 bits")
}

/// A length in memory as a number of bytes on a disk.
pub(crate) fn to_u64(length: usize) -> u64 {
    u64::try_from(length).expect("a usize has at most 64 bits")
}
