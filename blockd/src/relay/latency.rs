//! How long reads take: a histogram of fixed size.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::protocol::Latency;

/// Each power of two of microseconds is cut in four, so that a quantile is less
/// than a fourth too large.
const PARTS: usize = 4;
/// Up to 2^36 µs, which is 19 hours; the last bucket has all that is longer.
const BUCKETS: usize = 36 * PARTS;

/// Counts by duration, and the longest.
#[derive(Debug)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    /// In microseconds.
    longest: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
            longest: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    /// Counts a read that took so long.
    pub(super) fn record(&self, took: Duration) {
        // More than u64::MAX µs are 580 000 years.
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        self.longest.fetch_max(micros, Ordering::Relaxed);
        self.buckets[bucket_of(micros)].fetch_add(1, Ordering::Relaxed);
    }

    /// Quantiles of what was counted; zeroes when nothing was.
    pub(super) fn summary(&self) -> Latency {
        let counts: Vec<_> = self
            .buckets
            .iter()
            .map(|bucket| bucket.load(Ordering::Relaxed))
            .collect();
        let max = self.longest.load(Ordering::Relaxed);
        Latency {
            p50: quantile(&counts, 50).min(max),
            p95: quantile(&counts, 95).min(max),
            max,
        }
    }
}

/// The bucket of a time in microseconds, of at least one.
fn bucket_of(micros: u64) -> usize {
    let power = micros.ilog2();
    // The two bits below the highest one; shorter numbers have none.
    let below = ((u128::from(micros) << 2) >> power) & 0b11;
    let part = usize::try_from(below).expect("two bits");
    let power = usize::try_from(power).expect("64 powers of two");
    (power * PARTS + part).min(BUCKETS - 1)
}

/// The upper bound of a bucket, in microseconds.
fn bound_of(bucket: usize) -> u64 {
    let bound = |numerator: usize| u64::try_from(numerator).expect("a usize has 64 bits at most");
    let (power, part) = (bucket / PARTS, bucket % PARTS);
    ((1_u64 << power) * bound(PARTS + part + 1)).div_ceil(bound(PARTS))
}

/// The upper bound of the bucket that `percent` of all counts lie in or below.
fn quantile(counts: &[u64], percent: u64) -> u64 {
    let total: u64 = counts.iter().sum();
    let mut below = 0;
    for (bucket, count) in counts.iter().enumerate() {
        below += count;
        if total > 0 && below * 100 >= total * percent {
            return bound_of(bucket);
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_less_than_a_fourth_too_large() {
        let histogram = Histogram::default();
        assert_eq!(
            histogram.summary(),
            Latency {
                p50: 0,
                p95: 0,
                max: 0
            }
        );
        for micros in 1..=1000 {
            histogram.record(Duration::from_micros(micros));
        }
        let Latency { p50, p95, max } = histogram.summary();
        assert!((500..=640).contains(&p50), "{p50}");
        assert!((950..=1000).contains(&p95), "{p95}");
        assert_eq!(max, 1000);
    }

    #[test]
    fn every_duration_has_its_bucket() {
        for power in 0..64 {
            for micros in [1_u64 << power, (1 << power) + (1 << power) / 3] {
                let bucket = bucket_of(micros);
                assert!(bucket < BUCKETS);
                assert!(
                    bucket == BUCKETS - 1 || bound_of(bucket) >= micros,
                    "{micros}"
                );
                assert!(bucket_of(micros.saturating_mul(2)) >= bucket);
            }
        }
        let histogram = Histogram::default();
        histogram.record(Duration::MAX);
        assert_eq!(histogram.summary().max, u64::MAX);
    }
}
