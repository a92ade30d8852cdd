//! What is costly to open: opened once, kept while it is used.

use std::{
    fmt,
    hash::Hash,
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use lru::LruCache;

/// Values by key, each opened by the first who asks; whoever asks meanwhile
/// waits for that one, and for no other.
pub(crate) struct Once<K: Hash + Eq, V>(Mutex<LruCache<K, Slot<V>>>);

/// Locked while the value is being opened.
type Slot<V> = Arc<Mutex<Option<Arc<V>>>>;

impl<K: Hash + Eq, V> Once<K, V> {
    /// Keeps the `most` that were used last.
    pub(crate) fn keeping(most: NonZeroUsize) -> Self {
        Self(Mutex::new(LruCache::new(most)))
    }

    /// The value that is open, else the one from `open`; a failure is not kept.
    pub(crate) fn get<E>(&self, key: K, open: impl FnOnce() -> Result<V, E>) -> Result<Arc<V>, E> {
        let slot = {
            let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.get_or_insert(key, Slot::default))
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = &*slot {
            return Ok(Arc::clone(value));
        }
        let value = Arc::new(open()?);
        *slot = Some(Arc::clone(&value));
        Ok(value)
    }
}

impl<K: Hash + Eq, V> fmt::Debug for Once<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, sync::mpsc, thread};

    use super::*;

    fn once() -> Once<&'static str, u32> {
        Once::keeping(NonZeroUsize::MIN.saturating_add(1))
    }

    #[test]
    fn a_value_is_opened_once_and_a_failure_is_tried_again() {
        let once = once();
        assert_eq!(once.get("a", || Err("broken")), Err("broken"));
        assert_eq!(once.get("a", || Ok::<_, Infallible>(1)), Ok(Arc::new(1)));
        assert_eq!(once.get("a", || Ok::<_, Infallible>(2)), Ok(Arc::new(1)));
    }

    #[test]
    fn nobody_waits_for_another_value() {
        let once = once();
        let (opening, is_opening) = mpsc::channel();
        let (finish, may_finish) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let slow = scope.spawn(|| {
                once.get("slow", move || {
                    opening.send(()).unwrap();
                    may_finish.recv().map(|()| 1)
                })
            });
            is_opening.recv().unwrap();
            assert_eq!(
                once.get("quick", || Ok::<_, Infallible>(2)),
                Ok(Arc::new(2))
            );
            finish.send(()).unwrap();
            assert_eq!(slow.join().unwrap(), Ok(Arc::new(1)));
        });
    }
}
