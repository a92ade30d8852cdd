//! When the server last answered, and when a connection ended; shared by all
//! connections of a client.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

#[derive(Debug)]
pub(super) struct Liveness {
    started: Instant,
    /// Microseconds from `started` to the last answer; 0 before the first.
    last_answer: AtomicU64,
    /// Notified when a connection has ended.
    pub(super) connection_ended: Notify,
}

impl Liveness {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            last_answer: AtomicU64::new(0),
            connection_ended: Notify::new(),
        }
    }

    /// Records that an answer has come now.
    pub(super) fn record_answer(&self) {
        let micros = u64::try_from(self.started.elapsed().as_micros())
            .expect("a process runs for less than 500,000 years");
        self.last_answer.fetch_max(micros.max(1), Ordering::Relaxed);
    }

    /// Whether an answer has come after `then`.
    pub(super) fn answered_since(&self, then: Instant) -> bool {
        match self.last_answer.load(Ordering::Relaxed) {
            0 => false,
            micros => self
                .started
                .checked_add(Duration::from_micros(micros))
                .is_some_and(|last| last > then),
        }
    }
}
