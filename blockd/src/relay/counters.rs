//! Counters of the reads that servers answer.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::latency::Histogram;

/// Counts since the relay started.
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
    /// Counts a read as in flight.
    pub(super) fn begin(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(&self.in_flight)
    }

    /// Counts a read of so many bytes that was answered.
    pub(super) fn answered(&self, took: Duration, bytes: u32) {
        self.latency.record(took);
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes.into(), Ordering::Relaxed);
    }

    /// Counts a read that has failed.
    pub(super) fn failed(&self, took: Duration) {
        self.latency.record(took);
        self.errors.fetch_add(1, Ordering::Relaxed);
    }
}
