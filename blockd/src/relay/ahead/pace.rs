//! How far it pays to read ahead.

use std::{
    mem,
    time::{Duration, Instant},
};

/// From a server that answers within this, reading ahead gains nothing.
const NEAR: Duration = Duration::from_micros(500);
/// The distance of the server is the time of the quickest of this many reads.
const READS: u32 = 64;
/// A chunk that takes four times as long as the quickest read, and this much
/// more, was in a queue: others wait behind it.
const QUEUED: Duration = Duration::from_millis(100);

/// Bytes of the smallest window, and of the largest.
const MIN_WINDOW: u64 = 512 << 10;
pub(super) const MAX_WINDOW: u64 = 8 << 20;

/// The window of bytes in flight: doubled while what was read ahead comes too
/// late, halved when the network is full.
#[derive(Debug)]
pub(super) struct Pace {
    /// In bytes.
    window: u64,
    /// The time of the quickest read.
    quickest: Duration,
    /// The same of the reads since `quickest` was set.
    recent: Duration,
    /// How many these are.
    reads: u32,
    /// When the window was doubled.
    grown: Option<Instant>,
}

impl Pace {
    /// With the round trip of a connect, and not the time of a read: that may
    /// take long at a near server too, which has to inflate.
    pub(super) fn new(round_trip: Duration) -> Self {
        Self {
            window: MIN_WINDOW,
            quickest: round_trip,
            recent: Duration::MAX,
            reads: 0,
            grown: None,
        }
    }

    /// How many bytes are to be in flight; `None` where reading ahead gains
    /// nothing.
    pub(super) fn window(&self) -> Option<u64> {
        (self.quickest >= NEAR).then_some(self.window)
    }

    /// Records a read that was not ahead.
    pub(super) fn record_read(&mut self, took: Duration) {
        self.recent = self.recent.min(took);
        self.quickest = self.quickest.min(took);
        self.reads += 1;
        if self.reads >= READS {
            self.quickest = mem::replace(&mut self.recent, Duration::MAX);
            self.reads = 0;
        }
    }

    /// Records that a read waits for a chunk in flight. Once in a round trip
    /// that means that the window is too small.
    pub(super) fn record_wait(&mut self, now: Instant) {
        let just_grown = |grown: Instant| now.duration_since(grown) < self.quickest;
        if !self.grown.is_some_and(just_grown) {
            self.window = (self.window * 2).min(MAX_WINDOW);
            self.grown = Some(now);
        }
    }

    /// Records a chunk that has arrived.
    pub(super) fn record_chunk(&mut self, took: Duration) {
        if took > self.quickest * 4 + QUEUED {
            self.window = (self.window / 2).max(MIN_WINDOW);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: Duration = Duration::from_millis(20);

    #[test]
    fn nothing_is_read_ahead_of_a_near_server() {
        let mut pace = Pace::new(NEAR / 2);
        pace.record_read(FAR);
        assert_eq!(pace.window(), None);
        // The near one is gone, another is far away.
        for _ in 0..2 * READS {
            pace.record_read(FAR);
        }
        assert_eq!(pace.window(), Some(MIN_WINDOW));
    }

    #[test]
    fn the_window_grows_once_in_a_round_trip() {
        let mut pace = Pace::new(FAR);
        let now = Instant::now();
        pace.record_wait(now);
        pace.record_wait(now + FAR / 2);
        assert_eq!(pace.window(), Some(2 * MIN_WINDOW));
        for step in 1..20 {
            pace.record_wait(now + FAR * step);
        }
        assert_eq!(pace.window(), Some(MAX_WINDOW));
    }

    #[test]
    fn the_window_shrinks_when_chunks_queue() {
        let mut pace = Pace::new(FAR);
        pace.record_wait(Instant::now());
        pace.record_chunk(4 * FAR);
        assert_eq!(pace.window(), Some(2 * MIN_WINDOW), "this is no queue");
        for _ in 0..5 {
            pace.record_chunk(4 * FAR + 2 * QUEUED);
        }
        assert_eq!(pace.window(), Some(MIN_WINDOW));
    }
}
