//! The entries in which git's index differs from that of the image.

use std::cmp::Ordering;

use super::{
    answer::Answer,
    index::{Entry, Index},
};

/// Adds the paths of entries that are in one of both only, or have another mode, id
/// or flags.
pub(super) fn compare(current: &Index, base: &Index, answer: &mut Answer) {
    let (mut current, mut base) = (current.entries(), base.entries());
    let (mut now, mut before) = (current.next(), base.next());
    loop {
        let order = match (&now, &before) {
            (Some(now), Some(before)) => now.path.cmp(before.path),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return,
        };
        if now != before
            && let Some(Entry { path, .. }) = if order.is_gt() { before } else { now }
        {
            answer.add(path);
        }
        if order.is_le() {
            now = current.next();
        }
        if order.is_ge() {
            before = base.next();
        }
    }
}
