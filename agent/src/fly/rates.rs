//! The API's rate limits, kept on our side: a call that waits a little is
//! better than one that is refused.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use tokio::time::{Instant, sleep_until};

/// How often something may be done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    /// One each so long.
    every: Duration,
    /// So many at once after a pause.
    burst: u32,
}

/// Documented: one a second for each action and machine, three at once.
pub(super) const ACTION: Rate = Rate {
    every: Duration::from_secs(1),
    burst: 3,
};
/// Documented: five a second for getting a machine, ten at once.
pub(super) const GET: Rate = Rate {
    every: Duration::from_millis(200),
    burst: 10,
};

/// Beyond so many, those that are full again are forgotten.
const MANY: usize = 1024;

/// When each action on each machine was done, as the generic cell rate
/// algorithm has it: one instant for each, that moves on with each call.
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<HashMap<String, Instant>>);

impl Rates {
    /// Waits until it is within the limit.
    pub(super) async fn wait(&self, key: &str, rate: Rate) {
        let at = self.reserve(key, rate, Instant::now());
        sleep_until(at).await;
    }

    /// When the next call may go out.
    pub(super) fn reserve(&self, key: &str, rate: Rate, now: Instant) -> Instant {
        let mut next = self.0.lock().expect("nothing panics with it");
        if next.len() > MANY {
            next.retain(|_, next| *next > now);
        }
        let due = next.get(key).copied().unwrap_or(now).max(now);
        next.insert(key.to_owned(), due + rate.every);
        let tolerance = rate.every * (rate.burst - 1);
        due.checked_sub(tolerance).map_or(now, |at| at.max(now))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{ACTION, GET, Rates};

    #[test]
    fn a_burst_goes_out_at_once_and_the_rest_one_by_one() {
        let (rates, now) = (Rates::default(), Instant::now());
        let waits = |key, rate| {
            rates
                .reserve(key, rate, now)
                .duration_since(now)
                .as_millis()
        };
        let starts: Vec<_> = (0..5).map(|_| waits("start a", ACTION)).collect();
        assert_eq!(starts, [0, 0, 0, 1000, 2000]);
        assert_eq!(waits("start b", ACTION), 0, "each machine for itself");
        let gets: Vec<_> = (0..12).map(|_| waits("get a", GET)).collect();
        assert_eq!(gets[9..], [0, 200, 400]);
        let later = now + Duration::from_secs(60);
        let at = rates.reserve("start a", ACTION, later);
        assert_eq!(at, later, "after a pause there is a burst again");
    }
}
