//! What is counted of the reads.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::latency::Histogram;

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) reads: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) errors: AtomicU64,
    pub(super) in_flight: AtomicU64,
    /// Reads that were sent again because a connection was lost.
    pub(super) replayed: AtomicU64,
    pub(super) latency: Histogram,
}

/// A read in flight; counted until dropped.
#[derive(Debug)]
pub(super) struct InFlight<'a>(&'a AtomicU64);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counters {
    pub(super) fn begin(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(&self.in_flight)
    }

    /// Counts a read that is over, and its bytes if it brought any.
    pub(super) fn end(&self, took: Duration, bytes: Option<usize>) {
        self.latency.note(took);
        match bytes.map(u64::try_from) {
            Some(bytes) => {
                self.reads.fetch_add(1, Ordering::Relaxed);
                self.bytes
                    .fetch_add(bytes.unwrap_or(u64::MAX), Ordering::Relaxed);
            }
            None => {
                self.errors.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
