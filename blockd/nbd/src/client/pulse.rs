//! Whether a server lives: when it last answered, and when a connection ended.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

#[derive(Debug)]
pub(super) struct Pulse {
    begun: Instant,
    /// Microseconds after `begun`; 0 is never.
    last: AtomicU64,
    pub(super) ended: Notify,
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            last: AtomicU64::new(0),
            ended: Notify::new(),
        }
    }

    /// An answer came.
    pub(super) fn beat(&self) {
        let micros = self.begun.elapsed().as_micros();
        let micros = u64::try_from(micros).unwrap_or(u64::MAX).max(1);
        self.last.fetch_max(micros, Ordering::Relaxed);
    }

    pub(super) fn beat_since(&self, then: Instant) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        let last = self.begun.checked_add(Duration::from_micros(last));
        last.is_some_and(|last| last > then) && self.last.load(Ordering::Relaxed) > 0
    }
}
