//! Pauses between attempts: exponential, with jitter.

use std::{cmp, time::Duration};

use rand::RngExt;
use tokio::time::{Instant, sleep_until};

/// The pause after the first attempt.
const FIRST: Duration = Duration::from_millis(250);
/// After this many attempts the pause no longer doubles.
const DOUBLINGS: u32 = 5;
/// The longest pause, also where the API asks for a longer one.
const LONGEST: Duration = Duration::from_secs(8);

/// Sleeps after the attempt with this number, counted from 0, but not beyond
/// the deadline. `retry_after` is what the API asks for instead.
pub(super) async fn backoff(attempt: u32, retry_after: Option<Duration>, deadline: Instant) {
    let doubled = FIRST * 2_u32.pow(attempt.min(DOUBLINGS));
    let pause = cmp::min(retry_after.unwrap_or(doubled), LONGEST);
    let jittered = pause.mul_f64(rand::rng().random_range(0.5..1.0));
    sleep_until(cmp::min(deadline, Instant::now() + jittered)).await;
}
