//! Waiting for a condition that nothing reports.

use std::{
    thread,
    time::{Duration, Instant},
};

const INTERVAL: Duration = Duration::from_millis(5);

/// Waits until `condition` holds; `false` when it does not within `timeout`.
pub(crate) fn poll_until(timeout: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !condition() {
        if start.elapsed() > timeout {
            return false;
        }
        thread::sleep(INTERVAL);
    }
    true
}
