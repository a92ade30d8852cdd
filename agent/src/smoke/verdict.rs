//! What is printed: read by the one who deploys, by programs and people.

use std::{fmt, time::Duration};

use anyhow::Result;
use serde::Serialize;

use super::Facts;

/// One kind of trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// It answers, can attach, and keeps changes apart.
    Wiring,
    /// Codex answers a message.
    Codex,
    /// It solves a puzzle.
    Puzzle,
    /// Several agents repair a repository.
    Team,
}

impl Tier {
    /// Its time, with a model that thinks; all of it is under the 20 minutes
    /// that a deploy waits.
    pub(super) fn seconds(self) -> u64 {
        match self {
            Self::Wiring => 90,
            Self::Codex => 120,
            Self::Puzzle => 270,
            Self::Team => 600,
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Wiring => "wiring",
            Self::Codex => "codex",
            Self::Puzzle => "puzzle",
            Self::Team => "team",
        })
    }
}

/// How a tier went.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    tier: Tier,
    pub(super) passed: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    seconds: f64,
    #[serde(skip_serializing_if = "Facts::is_empty")]
    facts: Facts,
}

impl Outcome {
    pub(super) fn new(tier: Tier, tried: Result<()>, elapsed: Duration, facts: Facts) -> Self {
        let reason = tried.err().map(|error| format!("{error:#}"));
        Self {
            tier,
            passed: reason.is_none(),
            reason: reason.unwrap_or_default(),
            seconds: (elapsed.as_secs_f64() * 10.0).round() / 10.0,
            facts,
        }
    }
}

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    passed: bool,
    target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// Whether this image has passed the rest before, so that only the wiring
    /// of this machine was tried.
    cached: bool,
    tiers: Vec<Outcome>,
}

impl Verdict {
    pub(super) fn new(target: &str, image: Option<String>, cached: bool) -> Self {
        Self {
            passed: true,
            target: target.to_owned(),
            digest: image.map(|hex| format!("sha256:{hex}")),
            cached,
            tiers: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, outcome: Outcome) {
        self.passed &= outcome.passed;
        self.tiers.push(outcome);
    }

    pub(super) fn failure(&self) -> Option<String> {
        let failed = self.tiers.iter().find(|outcome| !outcome.passed)?;
        Some(format!("{}: {}", failed.tier, failed.reason))
    }
}
