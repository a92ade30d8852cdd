//! Names that move, held still while somebody looks (DESIGN §2, law 2).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long after the last connection a moving name keeps its commit, so that
/// a client that reconnects finds the same disk.
const GRACE: Duration = Duration::from_secs(60);

/// What every moving name stands for at present.
#[derive(Debug)]
pub(crate) struct Moving<T>(Mutex<HashMap<String, Arc<Pin<T>>>>);

/// A moving name held still. While a clone of it lives, the name keeps its
/// value.
#[derive(Debug)]
pub(crate) struct Held<T>(Arc<Pin<T>>);

#[derive(Debug)]
struct Pin<T> {
    value: T,
    /// When the last who held it let go.
    released: Mutex<Instant>,
}

impl<T> Default for Moving<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Copy> Moving<T> {
    /// The value that `name` has been holding, else the one from `resolve`.
    pub(crate) fn hold<E>(
        &self,
        name: String,
        resolve: impl FnOnce() -> Result<T, E>,
    ) -> Result<(T, Held<T>), E> {
        if let Some(pin) = self.held(&name) {
            return Ok((pin.value, Held(pin)));
        }
        // Not under the lock: it reads the repository, and others need not
        // wait for that. Of two who resolve at once, the first is right.
        let value = resolve()?;
        let mut pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pin = pins.entry(name).or_insert_with(|| {
            Arc::new(Pin {
                value,
                released: Mutex::new(Instant::now()),
            })
        });
        Ok((pin.value, Held(Arc::clone(pin))))
    }

    fn held(&self, name: &str) -> Option<Arc<Pin<T>>> {
        let mut pins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pins.retain(|_, pin| pin.is_held());
        pins.get(name).cloned()
    }
}

impl<T> Pin<T> {
    /// The map itself has one reference.
    fn is_held(self: &Arc<Self>) -> bool {
        let released = *self.released.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::strong_count(self) > 1 || released.elapsed() < GRACE
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        *self
            .0
            .released
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn hold(moving: &Moving<u32>, now: u32) -> (u32, Held<u32>) {
        moving
            .hold::<Infallible>("r@main".into(), || Ok(now))
            .unwrap()
    }

    #[test]
    fn a_name_stands_still_while_held_and_for_a_while_after() {
        let moving = Moving::default();
        let (first, held) = hold(&moving, 1);
        let (second, again) = hold(&moving, 2);
        assert_eq!((first, second), (1, 1));
        drop((held, again));
        assert_eq!(hold(&moving, 3).0, 1);
    }

    #[test]
    fn after_the_grace_period_it_moves() {
        let moving = Moving::default();
        drop(hold(&moving, 1));
        let long_ago = Instant::now().checked_sub(GRACE * 2).unwrap();
        let pin = Arc::clone(moving.0.lock().unwrap().get("r@main").unwrap());
        *pin.released.lock().unwrap() = long_ago;
        drop(pin);
        assert_eq!(hold(&moving, 2).0, 2);
    }

    #[test]
    fn of_two_who_resolve_at_once_the_first_is_right() {
        let moving = Moving::default();
        let (late, _held) = moving
            .hold::<Infallible>("r@main".into(), || {
                assert_eq!(hold(&moving, 1).0, 1);
                Ok(2)
            })
            .unwrap();
        assert_eq!(late, 1);
    }

    #[test]
    fn a_name_that_cannot_be_resolved_is_not_remembered() {
        let moving = Moving::<u32>::default();
        assert!(moving.hold("r@x".into(), || Err("unknown")).is_err());
        assert_eq!(
            moving.hold::<Infallible>("r@x".into(), || Ok(7)).unwrap().0,
            7
        );
    }
}
