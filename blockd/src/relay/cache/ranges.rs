//! A set of offsets, as ranges: its memory grows with their number, not with
//! the size of the disk.

use std::{
    collections::BTreeMap,
    ops::{Bound, Range},
};

/// Disjoint ranges that never touch each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges {
    /// Where each ends, by its start.
    ends: BTreeMap<u64, u64>,
    total: u64,
}

impl Ranges {
    /// How many offsets are in it.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn insert(&mut self, range: Range<u64>) {
        let Range { mut start, mut end } = range;
        if start >= end {
            return;
        }
        while let Some((&first, &last)) = self.ends.range(..=end).next_back() {
            if last < start {
                break;
            }
            self.ends.remove(&first);
            self.total -= last - first;
            (start, end) = (start.min(first), end.max(last));
        }
        self.ends.insert(start, end);
        self.total += end - start;
    }

    /// A range cut where it enters or leaves the set, in order: the parts, and
    /// whether they are in it.
    pub(super) fn split(&self, range: Range<u64>) -> Vec<(bool, Range<u64>)> {
        let mut parts = Vec::new();
        let mut at = range.start;
        let before = self.ends.range(..=at).next_back();
        let behind = (Bound::Excluded(at), Bound::Included(range.end.max(at)));
        let inside = self.ends.range(behind);
        for (&start, &end) in before.into_iter().chain(inside) {
            let (start, end) = (start.max(at), end.min(range.end));
            if start >= end {
                continue;
            }
            if at < start {
                parts.push((false, at..start));
            }
            parts.push((true, start..end));
            at = end;
        }
        if at < range.end {
            parts.push((false, at..range.end));
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::proptest};

    use super::*;

    #[test]
    fn ranges_that_touch_become_one() {
        let mut ranges = Ranges::default();
        for range in [10..20, 30..40, 20..30, 5..5, 0..1] {
            ranges.insert(range);
        }
        assert_eq!(ranges.total(), 31);
        assert_eq!(
            ranges.split(0..50),
            [
                (true, 0..1),
                (false, 1..10),
                (true, 10..40),
                (false, 40..50)
            ]
        );
        assert_eq!(ranges.split(15..16), [(true, 15..16)]);
        assert_eq!(ranges.split(40..41), [(false, 40..41)]);
        assert_eq!(ranges.split(7..7), []);
    }

    proptest! {
        /// It holds what was put in, and nothing else.
        #[test]
        fn it_is_a_set(put in vec((0..200_u64, 0..40_u64), 0..40), from in 0..250_u64, length in 0..100_u64) {
            let mut ranges = Ranges::default();
            let mut all = vec![false; 400];
            for (start, length) in put {
                ranges.insert(start..start + length);
                for at in start..start + length {
                    all[usize::try_from(at).unwrap()] = true;
                }
            }
            let count = all.iter().filter(|is_in| **is_in).count();
            assert_eq!(ranges.total(), u64::try_from(count).unwrap());
            let mut at = from;
            let mut last = None;
            for (is_in, part) in ranges.split(from..from + length) {
                assert_eq!(part.start, at);
                assert!(part.start < part.end && last != Some(is_in));
                for offset in part.clone() {
                    assert_eq!(all[usize::try_from(offset).unwrap()], is_in);
                }
                (at, last) = (part.end, Some(is_in));
            }
            assert_eq!(at, from + length);
        }
    }
}
