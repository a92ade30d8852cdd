//! How long each step of an attach takes.

use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

/// One step of an attach.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// What was done.
    pub name: &'static str,
    /// How long it took; in JSON, milliseconds.
    #[serde(rename = "milliseconds", serialize_with = "milliseconds")]
    pub elapsed: Duration,
}

/// A duration as a number of milliseconds.
pub(crate) fn milliseconds<S: Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64() * 1000.0)
}

/// A stopwatch for steps that follow each other.
#[derive(Clone, Debug)]
pub(crate) struct StepTimes {
    start: Instant,
    last: Instant,
    steps: Vec<Step>,
}

impl StepTimes {
    pub(crate) fn start() -> Self {
        let now = Instant::now();
        Self {
            start: now,
            last: now,
            steps: Vec::new(),
        }
    }

    /// The step `name` has just ended.
    pub(crate) fn step(&mut self, name: &'static str) {
        let now = Instant::now();
        let elapsed = now - self.last;
        tracing::debug!(?elapsed, "{name}");
        self.steps.push(Step { name, elapsed });
        self.last = now;
    }

    /// The time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// The steps so far, in order.
    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }
}
