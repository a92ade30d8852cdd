//! The API's rate limits, observed on our side: a request that waits a little is
//! better than one that is refused.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use tokio::time::{Instant, sleep_until};

/// A rate limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    /// The time between two requests in the long run.
    interval: Duration,
    /// How many requests may follow each other at once after a pause.
    burst: u32,
}

/// Documented: one request per second for each action and machine, bursts of three.
pub(super) const ACTION: Rate = Rate {
    interval: Duration::from_secs(1),
    burst: 3,
};
/// Documented: five requests per second for getting a machine, bursts of ten.
pub(super) const GET: Rate = Rate {
    interval: Duration::from_millis(200),
    burst: 10,
};

/// With more entries than this, those without a recent request are removed.
const MAX_ENTRIES: usize = 1024;

/// The generic cell rate algorithm: for each action on each machine, the
/// instant at which its next request is due in the long run.
#[derive(Debug, Default)]
pub(super) struct Rates(Mutex<HashMap<String, Instant>>);

impl Rates {
    /// Waits until a request is within the limit.
    pub(super) async fn wait(&self, key: &str, rate: Rate) {
        let at = self.reserve(key, rate, Instant::now());
        sleep_until(at).await;
    }

    /// The instant at which a request may be sent, which is counted from now on.
    pub(super) fn reserve(&self, key: &str, rate: Rate, now: Instant) -> Instant {
        let mut next = self.0.lock().expect("no holder of the lock panics");
        if next.len() > MAX_ENTRIES {
            next.retain(|_, next| *next > now);
        }
        let due = next.get(key).map_or(now, |next| now.max(*next));
        next.insert(key.to_owned(), due + rate.interval);
        let tolerance = rate.interval * (rate.burst - 1);
        // The monotonic clock may be younger than the tolerance: nothing was sent then.
        due.checked_sub(tolerance).map_or(now, |at| at.max(now))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{ACTION, GET, Rates};

    #[test]
    fn a_burst_is_sent_at_once_and_the_rest_at_the_rate() {
        let (rates, now) = (Rates::default(), Instant::now());
        let waits = |key, rate| {
            rates
                .reserve(key, rate, now)
                .duration_since(now)
                .as_millis()
        };
        let starts: Vec<_> = (0..5).map(|_| waits("start a", ACTION)).collect();
        assert_eq!(starts, [0, 0, 0, 1000, 2000]);
        assert_eq!(
            waits("start b", ACTION),
            0,
            "each machine has its own limit"
        );
        let gets: Vec<_> = (0..12).map(|_| waits("get a", GET)).collect();
        assert_eq!(gets[9..], [0, 200, 400]);
        let later = now + Duration::from_secs(60);
        let at = rates.reserve("start a", ACTION, later);
        assert_eq!(at, later, "a burst is allowed again after a pause");
    }
}
