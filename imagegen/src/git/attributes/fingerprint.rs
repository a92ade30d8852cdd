//! A hash that is the same in every process.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Hashes `value` with the constant keys of [`DefaultHasher::new`].
pub(super) fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
