//! How long to wait before the next attempt to connect.

use std::time::Duration;

use rand::RngExt;

const FIRST: Duration = Duration::from_millis(50);
const LAST: Duration = Duration::from_secs(2);

/// Doubles from attempt to attempt, from [`FIRST`] to [`LAST`], with jitter.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Backoff {
    /// The next time to wait.
    pub(super) fn next(&mut self) -> Duration {
        let now = self.0;
        self.0 = (now * 2).min(LAST);
        jittered(now)
    }
}

/// Between half of a time and the whole: the relays of many hosts do not all
/// come at once to a server that has just started.
pub(super) fn jittered(time: Duration) -> Duration {
    time.mul_f64(rand::rng().random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_grows_to_its_bound_and_has_jitter() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..12).map(|_| backoff.next()).collect();
        assert!(waits[0] <= FIRST && waits[0] >= FIRST / 2);
        assert!(waits[11] <= LAST && waits[11] >= LAST / 2);
        let many: Vec<_> = (0..20).map(|_| jittered(LAST)).collect();
        assert!(many.iter().any(|wait| *wait != many[0]), "{many:?}");
    }
}
