//! How long reads take: a histogram of fixed size.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde::Serialize;

/// Each power of two of microseconds is cut in four: a quantile is right
/// within a fourth.
const PARTS: u32 = 4;
/// Up to 2^36 µs, which is 19 hours.
const BUCKETS: usize = 36 * 4;

/// Counts by duration, and the longest.
#[derive(Debug)]
pub(super) struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    longest: AtomicU64,
}

/// What is told of a histogram, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Latency {
    p50: u64,
    p95: u64,
    max: u64,
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
    pub(super) fn note(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        self.longest.fetch_max(micros, Ordering::Relaxed);
        if let Some(bucket) = self.buckets.get(bucket_of(micros)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

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

fn bucket_of(micros: u64) -> usize {
    let power = micros.max(1).ilog2();
    // The two bits below the highest one; shorter numbers have none.
    let part = (u128::from(micros) * u128::from(PARTS)) >> power;
    let part = u32::try_from(part).unwrap_or(PARTS) - PARTS;
    let bucket = usize::try_from(power * PARTS + part).unwrap_or(BUCKETS);
    bucket.min(BUCKETS - 1)
}

/// The upper bound of a bucket.
fn bound_of(bucket: usize) -> u64 {
    let bucket = u32::try_from(bucket).unwrap_or(0);
    let (power, part) = (bucket / PARTS, bucket % PARTS);
    ((1_u64 << power) * u64::from(PARTS + part + 1)).div_ceil(u64::from(PARTS))
}

/// The duration that so many of a hundred stay below.
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
    fn quantiles_are_right_within_a_fourth() {
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
            histogram.note(Duration::from_micros(micros));
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
        histogram.note(Duration::MAX);
        assert_eq!(histogram.summary().max, u64::MAX);
    }
}
