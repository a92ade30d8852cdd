//! An object id among sorted ones.
//!
//! Ids are hashes, evenly spread, so where one lies can be guessed from its
//! value: two or three looks find it among a million, where halving takes
//! twenty. The bytes of an index may be anything, so halving takes over when
//! guessing does not help.

use std::cmp::Ordering;

use gix::oid;

/// Guesses before halving.
const GUESSES: u32 = 8;

/// The position of `id` among `count` sorted ids.
pub(super) fn position<'a>(count: u32, id: &oid, at: impl Fn(u32) -> &'a oid) -> Option<u32> {
    let wanted = leading(id);
    let (mut low, mut high) = (0, count);
    let (mut low_value, mut high_value) = (0_u64, u64::MAX);
    let mut looks = 0_u32;
    while low < high {
        let middle = if looks < GUESSES {
            guess(low, high, wanted, (low_value, high_value))
        } else {
            low.midpoint(high)
        };
        looks = looks.saturating_add(1);
        let found = at(middle);
        match found.cmp(id) {
            Ordering::Equal => return Some(middle),
            Ordering::Less => (low, low_value) = (middle.checked_add(1)?, leading(found)),
            Ordering::Greater => (high, high_value) = (middle, leading(found)),
        }
    }
    None
}

/// Where between `low` and `high` (exclusive) `wanted` should be, when the
/// values between them are spread evenly.
fn guess(low: u32, high: u32, wanted: u64, (low_value, high_value): (u64, u64)) -> u32 {
    let range = u128::from(high.saturating_sub(low));
    let width = u128::from(high_value.saturating_sub(low_value)).max(1);
    let into = u128::from(wanted.saturating_sub(low_value));
    let step = into.saturating_mul(range).checked_div(width).unwrap_or(0);
    let step = u32::try_from(step).unwrap_or(u32::MAX);
    low.saturating_add(step).min(high.saturating_sub(1))
}

/// The first eight bytes as a number that sorts as the id does.
fn leading(id: &oid) -> u64 {
    id.as_bytes()
        .first_chunk()
        .map_or(0, |bytes| u64::from_be_bytes(*bytes))
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
            // Close together, all guesses are wrong.
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
        fn ids_out_of_order_end(
            bytes in prop::collection::vec(any::<[u8; 20]>(), 0..200),
            other in any::<[u8; 20]>(),
        ) {
            let ids = bytes.into_iter().map(ObjectId::Sha1).collect::<Vec<_>>();
            find(&ids, &ObjectId::Sha1(other));
        }
    }
}
