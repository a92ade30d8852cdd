//! Searching a sorted list of object ids.
//!
//! Ids are hashes, so they are spread evenly, and interpolation search finds one
//! among a million in two or three probes, where binary search takes twenty. An
//! index may be malformed, so binary search takes over after some probes.

use std::cmp::Ordering;

use gix::oid;

/// The number of probes by interpolation.
const INTERPOLATIONS: usize = 8;

/// The position of `id` among `count` sorted ids, which `at` returns by
/// position.
pub(super) fn position<'a>(count: u32, id: &oid, at: impl Fn(u32) -> &'a oid) -> Option<u32> {
    let target = leading(id);
    let (mut low, mut high) = (0, count);
    let (mut low_value, mut high_value) = (0_u64, u64::MAX);
    let mut interpolations = 0..INTERPOLATIONS;
    while low < high {
        let middle = if interpolations.next().is_some() {
            interpolate(low, high, target, (low_value, high_value))
        } else {
            low.midpoint(high)
        };
        let found = at(middle);
        match found.cmp(id) {
            Ordering::Equal => return Some(middle),
            Ordering::Less => (low, low_value) = (middle.checked_add(1)?, leading(found)),
            Ordering::Greater => (high, high_value) = (middle, leading(found)),
        }
    }
    None
}

/// The expected position of `target` between `low` and `high` (exclusive), if
/// the values between them are spread evenly.
///
/// All operations saturate: a malformed index may have values in any order, and
/// any position in the range is then as good as another.
fn interpolate(low: u32, high: u32, target: u64, (low_value, high_value): (u64, u64)) -> u32 {
    let range = u128::from(high.saturating_sub(low));
    let width = u128::from(high_value.saturating_sub(low_value)).max(1);
    let into = u128::from(target.saturating_sub(low_value));
    let step = into.saturating_mul(range).checked_div(width).unwrap_or(0);
    let step = u32::try_from(step).unwrap_or(u32::MAX);
    low.saturating_add(step).min(high.saturating_sub(1))
}

/// The first eight bytes as a number, which is ordered as the ids are.
fn leading(id: &oid) -> u64 {
    let bytes = id.as_bytes().first_chunk();
    u64::from_be_bytes(*bytes.expect("an object id has at least 20 bytes"))
}

#[cfg(test)]
#[expect(
    clippy::indexing_slicing,
    reason = "a test that panics has failed, as it should"
)]
mod tests {
    use gix::ObjectId;
    use proptest::prelude::*;

    use super::*;

    fn find(ids: &[ObjectId], id: &ObjectId) -> Option<u32> {
        let count = u32::try_from(ids.len()).unwrap();
        position(count, id, |at| &ids[usize::try_from(at).unwrap()])
    }

    proptest! {
        #[test]
        fn every_id_is_found_and_no_other(
            bytes in prop::collection::btree_set(any::<[u8; 20]>(), 0..200),
            other in any::<[u8; 20]>(),
            // A long common prefix makes interpolation useless.
            common in 0..20_usize,
        ) {
            let shorten = |mut bytes: [u8; 20]| { bytes[..common].fill(7); ObjectId::Sha1(bytes) };
            let mut ids = bytes.into_iter().map(shorten).collect::<Vec<_>>();
            ids.sort();
            ids.dedup();
            for (at, id) in ids.iter().enumerate() {
                prop_assert_eq!(find(&ids, id), u32::try_from(at).ok());
            }
            let other = shorten(other);
            prop_assert_eq!(find(&ids, &other).is_some(), ids.contains(&other));
        }

        #[test]
        fn a_search_among_unsorted_ids_terminates(
            bytes in prop::collection::vec(any::<[u8; 20]>(), 0..200),
            other in any::<[u8; 20]>(),
        ) {
            let ids = bytes.into_iter().map(ObjectId::Sha1).collect::<Vec<_>>();
            find(&ids, &ObjectId::Sha1(other));
        }
    }
}
