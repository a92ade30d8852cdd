//! Conversions between integers of different widths: lossless, or checked.

use std::fmt::Debug;

/// The length of something in memory as a 64-bit count.
///
/// This and [`to_usize`] are lossless: neither compiles for a target whose
/// pointers are not 64 bits wide. Whole packs are mapped into memory, which
/// needs that width anyway.
pub(crate) const fn to_u64(length: usize) -> u64 {
    u64::from_ne_bytes(length.to_ne_bytes())
}

/// A number of at most 64 bits as a position in memory.
pub(crate) fn to_usize(value: impl Into<u64>) -> usize {
    usize::from_ne_bytes(value.into().to_ne_bytes())
}

/// `value` in a narrower type, for numbers whose bounds were checked before.
///
/// # Panics
///
/// If the value does not fit: a number that was cut off would become other
/// bytes of an image.
#[track_caller]
pub(crate) fn exact<T, U>(value: U) -> T
where
    U: TryInto<T, Error: Debug>,
{
    value
        .try_into()
        .expect("the value was checked to fit the narrower type")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions_are_lossless() {
        assert_eq!(to_u64(usize::MAX), u64::MAX);
        assert_eq!(to_usize(u64::MAX), usize::MAX);
        assert_eq!(to_usize(7_u32), 7);
        assert_eq!(exact::<u8, u64>(255), 255);
    }

    #[test]
    #[should_panic(expected = "checked to fit")]
    fn a_number_that_does_not_fit_panics() {
        exact::<u8, u64>(256);
    }
}
