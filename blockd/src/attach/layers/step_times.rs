//! What took how long.

use std::time::{Duration, Instant};

use crate::attach::commands::options::Step;

/// Times the steps of an attach, one after the other.
#[derive(Debug)]
pub(crate) struct Clock {
    begun: Instant,
    last: Instant,
    steps: Vec<Step>,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let now = Instant::now();
        Self {
            begun: now,
            last: now,
            steps: Vec::new(),
        }
    }

    pub(crate) fn step(&mut self, name: &'static str) {
        let now = Instant::now();
        let elapsed = now - self.last;
        tracing::debug!(?elapsed, "{name}");
        self.steps.push(Step { name, elapsed });
        self.last = now;
    }

    /// All of it, and its parts.
    pub(crate) fn stop(self) -> (Duration, Vec<Step>) {
        (self.begun.elapsed(), self.steps)
    }
}
