//! Least recently used, counted in bytes and not in entries.

use std::{fmt, hash::Hash};

use lru::LruCache;

/// Keeps the most recently used values whose bytes together stay within a
/// limit.
pub(super) struct ByteLru<K: Hash + Eq, V> {
    entries: LruCache<K, (V, u64)>,
    used: u64,
    limit: u64,
}

impl<K: Hash + Eq, V> ByteLru<K, V> {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            entries: LruCache::unbounded(),
            used: 0,
            limit,
        }
    }

    pub(super) fn used(&self) -> u64 {
        self.used
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    pub(super) fn get(&mut self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(value, _)| value)
    }

    /// Keeps `value`, which takes `bytes`; one larger than the limit is let go
    /// at once.
    pub(super) fn put(&mut self, key: K, value: V, bytes: u64) {
        if bytes > self.limit {
            return;
        }
        self.make_room(bytes);
        self.used = self.used.saturating_add(bytes);
        if let Some((_, replaced)) = self.entries.put(key, (value, bytes)) {
            self.used = self.used.saturating_sub(replaced);
        }
    }

    /// Lets values go until `bytes` more would fit.
    pub(super) fn make_room(&mut self, bytes: u64) {
        while self.used.saturating_add(bytes) > self.limit {
            let Some((_, (_, freed))) = self.entries.pop_lru() else {
                return;
            };
            self.used = self.used.saturating_sub(freed);
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
    fn the_least_recently_used_goes_first() {
        let mut lru = ByteLru::new(10);
        lru.put("a", 1, 4);
        lru.put("b", 2, 4);
        assert_eq!(lru.get(&"a"), Some(&1));
        lru.put("c", 3, 4);
        let kept = ["a", "b", "c"].map(|key| lru.get(&key).copied());
        assert_eq!(kept, [Some(1), None, Some(3)]);
        assert_eq!(lru.used(), 8);
    }

    #[test]
    fn replacing_counts_once_and_too_large_is_not_kept() {
        let mut lru = ByteLru::new(10);
        lru.put("a", 1, 4);
        lru.put("a", 2, 5);
        assert_eq!((lru.used(), lru.get(&"a")), (5, Some(&2)));
        lru.put("b", 3, 11);
        assert_eq!((lru.used(), lru.get(&"b")), (5, None));
    }
}
