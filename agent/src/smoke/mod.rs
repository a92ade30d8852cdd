//! `agent smoke`: a smoke test of a machine. This program only drives it; all work
//! is done on the machine under test, the *candidate*.
//!
//! ```text
//! wiring   it answers, blockd attach works, a change stays in its own upper layer
//! codex    a message sent over MCP is answered on the screen
//! puzzle   codex makes a failing test pass, and unknown inputs come out right
//! team     three agents on views of one broken repository make its suite pass
//!
//! driver ─► candidate  agent serve      /mcp /status /screen     (its own codex)
//!        └►            agent exercises  deploys, starts agents, judges
//! ```
//! What codex says is never trusted: `agent exercises` looks at files, runs test
//! suites on views that codex had no access to, and compares the tests with the
//! original ones.

mod agent_client;
mod candidate;
mod codex;
mod exercise;
pub mod exercises;
mod options;
mod passes;
mod promote;
mod puzzle;
mod roman;
mod task;
mod team;
mod verdict;
mod wiring;

use std::{
    io::{self, Write},
    time::Duration,
};

use anyhow::{Result, anyhow, bail};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use self::verdict::{Facts, Outcome, Verdict};
pub use self::{
    candidate::Candidate, options::Options, passes::Passes, promote::Promotion, verdict::Tier,
};

/// How long the candidate may take to remove an exercise.
const CLEAR_TIMEOUT: Duration = Duration::from_secs(60);

/// Tests the candidate, and prints the verdict as JSON.
///
/// # Errors
///
/// When the candidate has failed; when its pass cannot be recorded, or its image
/// not be promoted.
pub async fn smoke(options: &Options) -> Result<()> {
    let is_cached = has_passed_before(options).await;
    let up_to = if is_cached {
        Tier::Wiring
    } else {
        options.up_to
    };
    let mut verdict = Verdict::new(options.candidate.url(), options.image.clone(), is_cached);
    for tier in up_to.and_before() {
        let outcome = run_tier(options, *tier).await;
        let has_failed = !outcome.passed;
        verdict.add(outcome);
        if has_failed {
            break;
        }
    }
    let text = serde_json::to_string_pretty(&verdict)?;
    writeln!(io::stdout(), "{text}")?;
    if let Some(failure) = verdict.failure() {
        bail!("smoke: {failure}");
    }
    if let (false, Some(passes), Some(image)) = (is_cached, &options.passes, &options.image) {
        passes.record(image, options.up_to, &text).await?;
    }
    if let Some(promotion) = &options.promote {
        let verdict = serde_json::to_value(&verdict)?;
        promotion
            .request(options.candidate.token(), &verdict)
            .await?;
    }
    Ok(())
}

/// Whether this image has passed all of these tiers before.
async fn has_passed_before(options: &Options) -> bool {
    let (Some(passes), Some(image)) = (&options.passes, &options.image) else {
        return false;
    };
    match passes.has(image, options.up_to).await {
        Ok(has) => has,
        Err(error) => {
            warn!("cannot look up earlier passes, so every tier runs: {error:#}");
            false
        }
    }
}

/// Runs one tier within its time, and removes the exercise that it may have deployed.
async fn run_tier(options: &Options, tier: Tier) -> Outcome {
    info!("running tier {tier}");
    let (started, mut facts) = (Instant::now(), Facts::new());
    let limit = options.tier_timeout.unwrap_or(tier.timeout());
    let outcome = match timeout(limit, run(options, tier, &mut facts)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(anyhow!("over its limit of {} seconds", limit.as_secs())),
    };
    let cleared = match timeout(CLEAR_TIMEOUT, options.candidate.clear()).await {
        Ok(cleared) => cleared,
        Err(_) => Err(anyhow!("the candidate does not remove the exercise")),
    };
    Outcome::new(tier, outcome.and(cleared), started.elapsed(), facts)
}

async fn run(options: &Options, tier: Tier, facts: &mut Facts) -> Result<()> {
    let (candidate, turns) = (&options.candidate, options.turns);
    match tier {
        Tier::Wiring => wiring::run(candidate, facts).await,
        Tier::Codex => codex::run(candidate, facts).await,
        Tier::Puzzle => puzzle::run(candidate, turns, facts).await,
        Tier::Team => team::run(candidate, turns, facts).await,
    }
}
