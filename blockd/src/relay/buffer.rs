//! Lengths of buffers, and positions in them, as numbers of bytes on a disk.

/// The length of a buffer.
pub(super) fn length_of(buffer: &[u8]) -> u64 {
    u64::try_from(buffer.len()).expect("a usize has at most 64 bits")
}

/// A position in a buffer, from the front.
pub(super) fn position(bytes: u64) -> usize {
    usize::try_from(bytes).expect("what is in memory can be addressed")
}

/// The length of a part of one request, which is of at most 4 GiB.
pub(super) fn part_length(bytes: u64) -> u32 {
    u32::try_from(bytes).expect("a part is no longer than its request")
}

/// A buffer of zeroes.
pub(super) fn zeroes(length: u64) -> Vec<u8> {
    vec![0; position(length)]
}
