//! How long things took.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// The upper bounds of the buckets of [`Times`].
pub const BOUNDS: [Duration; 12] = [
    Duration::from_micros(10),
    Duration::from_micros(30),
    Duration::from_micros(100),
    Duration::from_micros(300),
    Duration::from_millis(1),
    Duration::from_millis(3),
    Duration::from_millis(10),
    Duration::from_millis(30),
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_secs(30),
];

/// Durations, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// How many there were, for each of [`BOUNDS`], that took at most so long and
    /// longer than the one before.
    pub buckets: [u64; BOUNDS.len()],
    /// How many took longer than all of them.
    pub longer: u64,
    /// All of them together.
    pub sum: Duration,
}

impl Times {
    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets
            .iter()
            .fold(self.longer, |sum, bucket| sum.saturating_add(*bucket))
    }
}

/// [`Times`] that any thread may add to.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BOUNDS.len()],
    longer: AtomicU64,
    /// In nanoseconds: 64 bits hold 584 years.
    sum: AtomicU64,
}

impl Histogram {
    /// Adds `count` that took `time` each.
    pub(crate) fn add(&self, time: Duration, count: u32) {
        let bucket = BOUNDS.iter().position(|bound| time <= *bound);
        let bucket = bucket.and_then(|at| self.buckets.get(at));
        let bucket = bucket.unwrap_or(&self.longer);
        bucket.fetch_add(count.into(), Ordering::Relaxed);
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let sum = nanos.saturating_mul(count.into());
        self.sum.fetch_add(sum, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Times {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Times {
            buckets: self.buckets.each_ref().map(read),
            longer: read(&self.longer),
            sum: Duration::from_nanos(read(&self.sum)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_one_bucket() {
        let times = Histogram::default();
        times.add(Duration::ZERO, 2);
        times.add(Duration::from_micros(10), 1);
        times.add(Duration::from_millis(2), 1);
        times.add(Duration::from_secs(40), 1);
        let times = times.read();
        assert_eq!(times.buckets, [3, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!((times.longer, times.count()), (1, 5));
        assert_eq!(times.sum, Duration::from_micros(40_002_010));
    }
}
