//! Revisions that move, pinned to a commit while a client uses them.
//!
//! A second connection of one client, or a reconnect, must find the disk that
//! the first one has, also when a branch was pushed to meanwhile.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

/// How long after its last connection a revision stays pinned, so that a client
/// that reconnects finds the same disk.
const GRACE_PERIOD: Duration = Duration::from_secs(60);

/// The commits that revisions are pinned to.
#[derive(Debug)]
pub(crate) struct RevisionPins<T>(Mutex<HashMap<String, Arc<Pin<T>>>>);

/// Keeps a revision pinned while it lives.
#[derive(Debug)]
pub(crate) struct PinGuard<T>(Arc<Pin<T>>);

#[derive(Debug)]
struct Pin<T> {
    value: T,
    /// When the last guard was dropped.
    released: Mutex<Instant>,
}

impl<T> Default for RevisionPins<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> RevisionPins<T> {
    /// Pins `name` to the value that it is pinned to already, else to the one
    /// from `resolve`.
    ///
    /// # Errors
    ///
    /// That of `resolve`; then nothing is pinned.
    pub(crate) fn pin<E>(
        &self,
        name: String,
        resolve: impl FnOnce() -> Result<T, E>,
    ) -> Result<(T, PinGuard<T>), E> {
        if let Some(pin) = self.find(&name) {
            return Ok((pin.value.clone(), PinGuard(pin)));
        }
        // Without the lock: it reads the repository, and others need not wait
        // for that. Of two that resolve at once, the first pins.
        let value = resolve()?;
        let mut pins = self.pins();
        let pin = pins.entry(name).or_insert_with(|| {
            Arc::new(Pin {
                value,
                released: Mutex::new(Instant::now()),
            })
        });
        Ok((pin.value.clone(), PinGuard(Arc::clone(pin))))
    }

    /// Forgets what `name` is pinned to, whoever uses it.
    pub(crate) fn forget(&self, name: &str) {
        self.pins().remove(name);
    }

    fn find(&self, name: &str) -> Option<Arc<Pin<T>>> {
        let mut pins = self.pins();
        pins.retain(|_, pin| pin.is_in_use());
        pins.get(name).cloned()
    }

    fn pins(&self) -> MutexGuard<'_, HashMap<String, Arc<Pin<T>>>> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

impl<T> Pin<T> {
    /// Whether a guard lives, or did a short time ago. The map itself has one
    /// reference.
    fn is_in_use(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 1 || self.released().elapsed() < GRACE_PERIOD
    }

    fn released(&self) -> MutexGuard<'_, Instant> {
        self.released.lock().expect("no holder of this lock panics")
    }
}

impl<T> Drop for PinGuard<T> {
    fn drop(&mut self) {
        *self.0.released() = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn pin(pins: &RevisionPins<u32>, now: u32) -> (u32, PinGuard<u32>) {
        pins.pin::<Infallible>("r@main".into(), || Ok(now)).unwrap()
    }

    #[test]
    fn a_revision_is_pinned_while_a_guard_lives_and_for_the_grace_period() {
        let pins = RevisionPins::default();
        let (first, guard) = pin(&pins, 1);
        let (second, other) = pin(&pins, 2);
        assert_eq!((first, second), (1, 1));
        drop((guard, other));
        assert_eq!(pin(&pins, 3).0, 1);
    }

    #[test]
    fn after_the_grace_period_a_revision_is_resolved_anew() {
        let pins = RevisionPins::default();
        drop(pin(&pins, 1));
        let long_ago = Instant::now().checked_sub(GRACE_PERIOD * 2).unwrap();
        let entry = Arc::clone(pins.0.lock().unwrap().get("r@main").unwrap());
        *entry.released.lock().unwrap() = long_ago;
        drop(entry);
        assert_eq!(pin(&pins, 2).0, 2);
    }

    #[test]
    fn of_two_that_resolve_at_once_the_first_pins() {
        let pins = RevisionPins::default();
        let (late, _guard) = pins
            .pin::<Infallible>("r@main".into(), || {
                assert_eq!(pin(&pins, 1).0, 1);
                Ok(2)
            })
            .unwrap();
        assert_eq!(late, 1);
    }

    #[test]
    fn a_revision_that_cannot_be_resolved_is_not_pinned() {
        let pins = RevisionPins::<u32>::default();
        assert!(pins.pin("r@x".into(), || Err("unknown")).is_err());
        assert_eq!(pins.pin::<Infallible>("r@x".into(), || Ok(7)).unwrap().0, 7);
    }
}
