//! An LRU cache bounded by bytes, not by entries.

use std::{fmt, hash::Hash};

use lru::LruCache;

/// Holds the most recently used values whose sizes together stay within a
/// limit.
pub(super) struct ByteLru<K: Hash + Eq, V> {
    entries: LruCache<K, (V, u64)>,
    /// The sizes of all values together; never above `limit`.
    used: u64,
    limit: u64,
}

impl<K: Hash + Eq, V> ByteLru<K, V> {
    /// An empty cache of up to `limit` bytes.
    pub(super) fn new(limit: u64) -> Self {
        Self {
            entries: LruCache::unbounded(),
            used: 0,
            limit,
        }
    }

    /// The sizes of all values together, in bytes.
    pub(super) fn used(&self) -> u64 {
        self.used
    }

    /// How many there may be.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    pub(super) fn get(&mut self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(value, _)| value)
    }

    /// All values, the least recently used first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries
            .iter()
            .rev()
            .map(|(key, (value, _))| (key, value))
    }

    /// Adds a value of `bytes` bytes and evicts the least recently used ones to
    /// make room. A value larger than the limit is not added.
    pub(super) fn put(&mut self, key: K, value: V, bytes: u64) {
        if bytes > self.limit {
            return;
        }
        self.make_room(bytes);
        self.used += bytes;
        if let Some((_, replaced)) = self.entries.put(key, (value, bytes)) {
            self.used -= replaced;
        }
    }

    /// Whether `bytes` more fit without evicting a value.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        bytes <= self.limit - self.used
    }

    /// Evicts values until `bytes` more fit, or none is left.
    pub(super) fn make_room(&mut self, bytes: u64) {
        while !self.has_room(bytes) {
            let Some((_, (_, freed))) = self.entries.pop_lru() else {
                return;
            };
            self.used -= freed;
        }
    }
}

impl<K: Hash + Eq, V> fmt::Debug for ByteLru<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} entries, {} of {} bytes",
            self.entries.len(),
            self.used,
            self.limit
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_value_is_evicted_first() {
        let mut lru = ByteLru::new(10);
        lru.put("a", 1, 4);
        lru.put("b", 2, 4);
        assert_eq!(lru.get(&"a"), Some(&1));
        lru.put("c", 3, 4);
        let cached = ["a", "b", "c"].map(|key| lru.get(&key).copied());
        assert_eq!(cached, [Some(1), None, Some(3)]);
        assert_eq!(lru.used(), 8);
    }

    #[test]
    fn a_replaced_value_counts_once_and_one_too_large_is_not_added() {
        let mut lru = ByteLru::new(10);
        lru.put("a", 1, 4);
        lru.put("a", 2, 5);
        assert_eq!((lru.used(), lru.get(&"a")), (5, Some(&2)));
        lru.put("b", 3, 11);
        assert_eq!((lru.used(), lru.get(&"b")), (5, None));
    }
}
