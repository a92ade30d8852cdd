//! How long to wait before the next attempt.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

const FIRST: Duration = Duration::from_millis(50);
const LAST: Duration = Duration::from_secs(2);

/// Doubles from attempt to attempt; the jitter keeps the relays of many hosts
/// from coming all at once to a server that has just started.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Backoff {
    pub(super) fn next(&mut self) -> Duration {
        let now = self.0;
        self.0 = now.saturating_mul(2).min(LAST);
        jittered(now)
    }
}

/// Between half of it and the whole.
pub(super) fn jittered(time: Duration) -> Duration {
    // Every RandomState has other keys: that is all the chance we need.
    let chance = RandomState::new().build_hasher().finish() % 1024;
    let chance = u32::try_from(chance).unwrap_or(0);
    time / 2 + time / 2048 * chance
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_to_its_bound_and_never_strikes_twice_at_once() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..12).map(|_| backoff.next()).collect();
        assert!(waits[0] <= FIRST && waits[0] >= FIRST / 2);
        assert!(waits[11] <= LAST && waits[11] >= LAST / 2);
        let many: Vec<_> = (0..20).map(|_| jittered(LAST)).collect();
        assert!(many.iter().any(|wait| *wait != many[0]), "{many:?}");
    }
}
