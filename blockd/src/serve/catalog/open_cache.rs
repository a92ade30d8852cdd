//! Values that are costly to open: opened once, and cached.

use std::{
    fmt,
    hash::Hash,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use lru::LruCache;

/// Values by key, of which those that were used last are cached. Each is opened
/// by the first thread that needs it; others that need it meanwhile wait for
/// that one, and for no other.
pub(crate) struct OpenCache<K: Hash + Eq, V>(Mutex<LruCache<K, Slot<V>>>);

/// Locked while the value is being opened.
type Slot<V> = Arc<Mutex<Option<Arc<V>>>>;

impl<K: Hash + Eq + Clone, V> OpenCache<K, V> {
    /// A cache of `size` values.
    pub(crate) fn new(size: NonZeroUsize) -> Self {
        Self(Mutex::new(LruCache::new(size)))
    }

    /// The value that is open, else the one from `open`.
    ///
    /// # Errors
    ///
    /// That of `open`; it is not cached.
    pub(crate) fn get<E>(&self, key: K, open: impl FnOnce() -> Result<V, E>) -> Result<Arc<V>, E> {
        let slot = {
            let mut slots = self.0.lock().expect("no holder of this lock panics");
            Arc::clone(slots.get_or_insert(key, Slot::default))
        };
        // Where `open` panicked the slot is empty, and the next one opens.
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = &*slot {
            return Ok(Arc::clone(value));
        }
        let value = Arc::new(open()?);
        *slot = Some(Arc::clone(&value));
        Ok(value)
    }

    /// Forgets the value that was used last before all others that nobody uses;
    /// `false` if there is none.
    pub(crate) fn forget_unused(&self) -> bool {
        let mut slots = self.0.lock().expect("no holder of this lock panics");
        // One that is being opened is locked.
        let is_unused = |slot: &Slot<V>| {
            let value = slot.try_lock().ok();
            value.is_some_and(|value| value.as_ref().is_some_and(|v| Arc::strong_count(v) == 1))
        };
        let mut oldest_first = slots.iter().rev();
        let unused = oldest_first.find(|(_, slot)| is_unused(slot));
        let Some(key) = unused.map(|(key, _)| key.clone()) else {
            return false;
        };
        slots.pop(&key).is_some()
    }
}

impl<K: Hash + Eq, V> fmt::Debug for OpenCache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenCache").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, sync::mpsc, thread};

    use super::*;

    fn cache() -> OpenCache<&'static str, u32> {
        OpenCache::new(NonZeroUsize::MIN.saturating_add(1))
    }

    #[test]
    fn a_value_is_opened_once_and_a_failure_is_tried_again() {
        let cache = cache();
        assert_eq!(cache.get("a", || Err("broken")), Err("broken"));
        assert_eq!(cache.get("a", || Ok::<_, Infallible>(1)), Ok(Arc::new(1)));
        assert_eq!(cache.get("a", || Ok::<_, Infallible>(2)), Ok(Arc::new(1)));
    }

    #[test]
    fn what_somebody_uses_is_not_forgotten() {
        let cache = cache();
        let used = cache.get("a", || Ok::<_, Infallible>(1)).unwrap();
        cache.get("b", || Ok::<_, Infallible>(2)).unwrap();
        assert!(cache.forget_unused());
        assert!(!cache.forget_unused());
        assert_eq!(cache.get("a", || Ok::<_, Infallible>(3)), Ok(used));
    }

    #[test]
    fn no_value_waits_for_another() {
        let cache = cache();
        let (opening, is_opening) = mpsc::channel();
        let (finish, may_finish) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let slow = scope.spawn(|| {
                cache.get("slow", move || {
                    opening.send(()).unwrap();
                    may_finish.recv().map(|()| 1)
                })
            });
            is_opening.recv().unwrap();
            assert_eq!(
                cache.get("quick", || Ok::<_, Infallible>(2)),
                Ok(Arc::new(2))
            );
            finish.send(()).unwrap();
            assert_eq!(slow.join().unwrap(), Ok(Arc::new(1)));
        });
    }
}
