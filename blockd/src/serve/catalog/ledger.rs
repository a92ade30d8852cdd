//! What all images together may take of something: memory, or bytes to convert.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// So many bytes in all.
#[derive(Debug)]
pub(super) struct Ledger {
    limit: u64,
    used: AtomicU64,
    refused: AtomicU64,
}

/// What one image takes, while anything uses it.
#[derive(Debug)]
pub(super) struct Charge {
    ledger: Arc<Ledger>,
    bytes: AtomicU64,
}

/// What a bound of a server allows, and what is taken of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Bytes in all.
    pub limit: u64,
    /// Bytes that are in use.
    pub in_use: u64,
    /// How often more was refused since the server started.
    pub refused: u64,
}

impl Ledger {
    pub(super) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        })
    }

    /// A charge of nothing yet.
    pub(super) fn open(self: &Arc<Self>) -> Charge {
        Charge {
            ledger: Arc::clone(self),
            bytes: AtomicU64::new(0),
        }
    }

    pub(super) fn taken(&self) -> Taken {
        Taken {
            limit: self.limit,
            in_use: self.used.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}

impl Charge {
    /// Makes it `bytes` in all. Something else takes `beside`, and while there is
    /// no room, `forget` drops what nobody uses.
    ///
    /// # Errors
    ///
    /// `forget` finds nothing: what all take is in use. Then nothing has changed.
    pub(super) fn set(
        &self,
        bytes: u64,
        beside: impl Fn() -> u64,
        mut forget: impl FnMut() -> bool,
    ) -> Result<(), Taken> {
        let before = self.bytes.load(Ordering::Relaxed);
        let Some(more) = bytes.checked_sub(before) else {
            self.ledger
                .used
                .fetch_sub(before - bytes, Ordering::Relaxed);
            self.bytes.store(bytes, Ordering::Relaxed);
            return Ok(());
        };
        while !self.ledger.take(more, beside()) {
            if !forget() {
                self.ledger.refused.fetch_add(1, Ordering::Relaxed);
                return Err(self.ledger.taken());
            }
        }
        self.bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }
}

impl Ledger {
    fn take(&self, more: u64, beside: u64) -> bool {
        let sum = |used: u64| {
            let sum = used.checked_add(more)?;
            let fits = sum.checked_add(beside).is_some_and(|all| all <= self.limit);
            fits.then_some(sum)
        };
        let taken = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum);
        taken.is_ok()
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let bytes = self.bytes.load(Ordering::Relaxed);
        self.ledger.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(charge: &Charge, bytes: u64) -> bool {
        charge.set(bytes, || 0, || false).is_ok()
    }

    #[test]
    fn what_grows_counts_while_it_grows_and_what_is_dropped_counts_no_more() {
        let ledger = Ledger::new(10);
        let (first, second) = (ledger.open(), ledger.open());
        assert!(set(&first, 4) && set(&second, 4) && set(&first, 6));
        assert!(!set(&second, 5));
        assert_eq!((ledger.taken().in_use, ledger.taken().refused), (10, 1));
        drop(first);
        assert!(set(&second, 10) && set(&second, 2));
        assert_eq!(ledger.taken().in_use, 2);
    }

    #[test]
    fn what_nobody_uses_makes_room_and_what_stands_beside_does_not() {
        let ledger = Ledger::new(10);
        let kept = ledger.open();
        assert!(set(&kept, 6));
        let (mut kept, second) = (Some(kept), ledger.open());
        let made = second.set(5, || 0, || kept.take().is_some());
        assert!(made.is_ok() && kept.is_none());
        assert!(second.set(6, || 5, || false).is_err());
        assert!(second.set(6, || 4, || false).is_ok());
    }
}
