//! Timestamps (`Documentation/filesystems/ext4/inodes.rst`, "Inode
//! Timestamps").

use super::numbers::low_u32;

/// A timestamp as the two fields of an inode that hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timestamp {
    /// `i_mtime` and the like: the seconds as a signed number of 32 bits.
    pub(super) base: u32,
    /// `i_mtime_extra` and the like: two more bits of the seconds, which count
    /// epochs of 2^32 seconds above `base`, and above them the nanoseconds.
    pub(super) extra: u32,
}

/// `EXT4_EPOCH_BITS`
const EPOCH_BITS: u32 = 2;
/// The first second that can be represented, in December 1901.
const FIRST: i64 = -(1 << 31);
/// The last one, in May 2446.
const LAST: i64 = (1 << 34) - (1 << 31) - 1;

impl Timestamp {
    /// The timestamp `seconds` after 1970, clamped to the range that can be
    /// represented, and `nanoseconds`, which are less than a second
    /// (`ext4_encode_extra_time`).
    pub(super) fn new(seconds: i64, nanoseconds: u32) -> Self {
        let seconds = seconds.clamp(FIRST, LAST);
        let base = low_u32(seconds.cast_unsigned());
        let epochs = (seconds - i64::from(base.cast_signed())) >> 32;
        Self {
            base,
            extra: low_u32(epochs.cast_unsigned()) | nanoseconds << EPOCH_BITS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `ext4_decode_extra_time`
    fn decode(time: Timestamp) -> i64 {
        i64::from(time.base.cast_signed()) + (i64::from(time.extra & 3) << 32)
    }

    #[test]
    fn every_epoch_is_decoded_as_by_the_kernel() {
        for seconds in [
            FIRST,
            -1,
            0,
            1 << 31,
            (1 << 32) - 1,
            1 << 32,
            6_000_000_000,
            LAST,
        ] {
            let time = Timestamp::new(seconds, 0);
            assert!(time.extra < 4, "{seconds} spills into the nanoseconds");
            assert_eq!(decode(time), seconds);
        }
    }

    /// `ext4_decode_extra_time`
    #[test]
    fn nanoseconds_stand_above_the_epoch() {
        let time = Timestamp::new(6_000_000_000, 999_999_999);
        assert_eq!(decode(time), 6_000_000_000);
        assert_eq!(time.extra >> 2, 999_999_999);
    }

    #[test]
    fn before_1970_and_until_2038_there_are_no_extra_bits() {
        for seconds in [FIRST, -1, 0, (1 << 31) - 1] {
            assert_eq!(Timestamp::new(seconds, 0).extra, 0);
        }
        assert_eq!(
            Timestamp::new(1 << 31, 0),
            Timestamp {
                base: 0x8000_0000,
                extra: 1
            }
        );
    }

    #[test]
    fn times_out_of_range_are_clamped() {
        assert_eq!(decode(Timestamp::new(i64::MAX, 0)), LAST);
        assert_eq!(decode(Timestamp::new(i64::MIN, 0)), FIRST);
    }
}
