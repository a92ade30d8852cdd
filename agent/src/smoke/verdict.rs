//! The verdict, as it is printed: for whoever deploys, and for programs.

use std::{fmt, time::Duration};

use anyhow::Result;
use serde::Serialize;
use serde_json::{Map, Value};

/// What a tier has found out, for whoever reads the verdict.
pub(super) type Facts = Map<String, Value>;

/// A kind of test; each builds on those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// The machine answers, can attach, and isolates changes.
    Wiring,
    /// Codex answers a message.
    Codex,
    /// Codex solves a puzzle.
    Puzzle,
    /// Several agents repair a repository.
    Team,
}

impl Tier {
    /// This tier and those before it, in order.
    pub(super) fn and_before(self) -> &'static [Self] {
        match self {
            Self::Wiring => &[Self::Wiring],
            Self::Codex => &[Self::Wiring, Self::Codex],
            Self::Puzzle => &[Self::Wiring, Self::Codex, Self::Puzzle],
            Self::Team => &[Self::Wiring, Self::Codex, Self::Puzzle, Self::Team],
        }
    }

    /// How long the tier may take with a model that reasons; together less than the
    /// 20 minutes that a deployment waits.
    pub(super) fn timeout(self) -> Duration {
        Duration::from_secs(match self {
            Self::Wiring => 90,
            Self::Codex => 120,
            Self::Puzzle => 270,
            Self::Team => 600,
        })
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

/// The outcome of a tier.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    tier: Tier,
    pub(super) passed: bool,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// How long it took, to a tenth.
    seconds: f64,
    #[serde(skip_serializing_if = "Facts::is_empty")]
    facts: Facts,
}

impl Outcome {
    pub(super) fn new(tier: Tier, outcome: Result<()>, elapsed: Duration, facts: Facts) -> Self {
        let reason = outcome.err().map(|error| format!("{error:#}"));
        Self {
            tier,
            passed: reason.is_none(),
            reason,
            seconds: (elapsed.as_secs_f64() * 10.0).round() / 10.0,
            facts,
        }
    }
}

/// The verdict on a candidate.
#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    passed: bool,
    target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// Whether this image has passed the other tiers before, so that only the
    /// wiring of this machine was tested.
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

    /// The tier that failed, and why.
    pub(super) fn failure(&self) -> Option<String> {
        self.tiers.iter().find_map(|outcome| {
            let reason = outcome.reason.as_ref()?;
            Some(format!("{}: {reason}", outcome.tier))
        })
    }
}
