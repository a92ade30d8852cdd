//! What is only so for a moment is waited for.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long the kernel, or another program on its way through, may take.
pub(crate) const MOMENT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);

/// Whether it is done within a moment.
pub(crate) fn eventually(mut done: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !done() {
        if begun.elapsed() > MOMENT {
            return false;
        }
        thread::sleep(PAUSE);
    }
    true
}
