//! Who is connected by HTTP, and how many may be.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use blockd_nbd::budget::{Place, Places, Spender};

/// The callers that have a connection.
#[derive(Clone, Debug)]
pub(super) struct Callers {
    places: Arc<Places>,
    refused: Arc<AtomicU64>,
}

impl Callers {
    /// At most so many. One peer has at most three quarters of them.
    pub(super) fn new(limit: usize) -> Self {
        let each = (limit - limit / 4).max(1);
        Self {
            places: Places::new(limit, each, Duration::ZERO),
            refused: Arc::default(),
        }
    }

    /// How many there are, and may be.
    pub(super) fn in_use(&self) -> (usize, usize) {
        (self.places.in_use(), self.places.limit())
    }

    /// Lets a caller in, if need be in place of another; `None` if all others are being
    /// answered.
    pub(super) fn admit(&self, caller: Spender) -> Option<Place> {
        let place = self.places.take(caller).ok();
        if place.is_none() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        place
    }

    /// How many were closed at once, since all others were being answered.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}
