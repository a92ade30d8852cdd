//! How far it pays to read ahead.

use std::{
    mem,
    time::{Duration, Instant},
};

/// A server that answers within this is as quick as reading ahead.
const NEAR: Duration = Duration::from_micros(500);
/// The quickest of so many reads is how far away the server is.
const READS: u32 = 64;
/// A chunk that takes four times as long as the quickest read, and this, had to
/// queue: others wait behind it.
const QUEUED: Duration = Duration::from_millis(100);

const LEAST: u64 = 512 << 10;
pub(super) const MOST: u64 = 8 << 20;

/// Doubled while what was read ahead comes too late, halved when the way is
/// full.
#[derive(Debug)]
pub(super) struct Pace {
    window: u64,
    /// What a read takes at least.
    quickest: Duration,
    /// The same of the reads that were counted since that was found out.
    recent: Duration,
    reads: u32,
    grown: Option<Instant>,
}

impl Pace {
    /// Beside a server that is near, a read may yet take its time: what it asks
    /// for is inflated.
    pub(super) fn new(round_trip: Duration) -> Self {
        Self {
            window: LEAST,
            quickest: round_trip,
            recent: Duration::MAX,
            reads: 0,
            grown: None,
        }
    }

    /// How many bytes are to be on their way; `None` where it does not pay.
    pub(super) fn window(&self) -> Option<u64> {
        (self.quickest >= NEAR).then_some(self.window)
    }

    /// A read that somebody waited for was answered.
    pub(super) fn answered(&mut self, took: Duration) {
        self.recent = self.recent.min(took);
        self.quickest = self.quickest.min(took);
        self.reads += 1;
        if self.reads >= READS {
            self.quickest = mem::replace(&mut self.recent, Duration::MAX);
            self.reads = 0;
        }
    }

    /// Somebody waits for what was read ahead: once in a round trip that says
    /// that it was not far enough.
    pub(super) fn late(&mut self, now: Instant) {
        let lately = |grown: Instant| now.saturating_duration_since(grown) < self.quickest;
        if !self.grown.is_some_and(lately) {
            self.window = self.window.saturating_mul(2).min(MOST);
            self.grown = Some(now);
        }
    }

    /// A chunk has come.
    pub(super) fn brought(&mut self, took: Duration) {
        if took > self.quickest.saturating_mul(4).saturating_add(QUEUED) {
            self.window = (self.window / 2).max(LEAST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: Duration = Duration::from_millis(20);

    #[test]
    fn beside_a_near_server_nothing_is_read_ahead() {
        let mut pace = Pace::new(NEAR / 2);
        pace.answered(FAR);
        assert_eq!(pace.window(), None);
        // The near one is gone, another is far away.
        for _ in 0..2 * READS {
            pace.answered(FAR);
        }
        assert_eq!(pace.window(), Some(LEAST));
    }

    #[test]
    fn the_window_grows_once_in_a_round_trip() {
        let mut pace = Pace::new(FAR);
        let now = Instant::now();
        pace.late(now);
        pace.late(now + FAR / 2);
        assert_eq!(pace.window(), Some(2 * LEAST));
        for step in 1..20 {
            pace.late(now + FAR * step);
        }
        assert_eq!(pace.window(), Some(MOST));
    }

    #[test]
    fn it_shrinks_when_the_way_is_full() {
        let mut pace = Pace::new(FAR);
        pace.late(Instant::now());
        pace.brought(4 * FAR);
        assert_eq!(pace.window(), Some(2 * LEAST), "that is no queue");
        for _ in 0..5 {
            pace.brought(4 * FAR + 2 * QUEUED);
        }
        assert_eq!(pace.window(), Some(LEAST));
    }
}
