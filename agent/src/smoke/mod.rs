//! `agent smoke`: whether a machine may be let loose. A thin driver here, all
//! the work on the machine that is tried out, the *candidate*.
//!
//! ```text
//! wiring   it answers, its kernel can attach, a change stays in its own layer
//! codex    a message through MCP is answered on the screen
//! puzzle   codex makes a red test green, and inputs it has not seen come out right
//! team     three agents on views of one broken repository make its suite green
//!
//! driver ─► candidate  agent serve   /mcp /status /screen      (its own codex)
//!        └►            agent ground  lays out, starts agents, judges
//! ```
//! What codex says is never believed: the ground looks at files, runs suites on
//! views that codex has never touched, and compares the tests with the first ones.

pub(crate) mod candidate;
mod codex;
mod exercise;
pub mod ground;
mod passes;
mod player;
pub(crate) mod promote;
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
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use self::{
    candidate::Candidate,
    verdict::{Outcome, Verdict},
};
pub use self::{passes::Passes, promote::Promotion, verdict::Tier};

/// How long the candidate may take to clean up.
const CLEAN_UP: Duration = Duration::from_secs(60);

/// What is tried out, and how.
#[derive(Debug)]
pub struct Options {
    /// The candidate.
    pub candidate: Candidate,
    /// What is tried, in order.
    pub tiers: Vec<Tier>,
    /// How long a tier may take, where not as long as it is used to.
    pub seconds: Option<u64>,
    /// How many messages an agent gets.
    pub turns: u32,
    /// The digest of the candidate's image.
    pub image: Option<String>,
    /// Where passes are remembered.
    pub passes: Option<Passes>,
    /// Who is told of a pass, so that the image is promoted.
    pub promote: Option<Promotion>,
}

/// What a tier has found out, for people and machines that read the verdict.
type Facts = Map<String, Value>;

/// Tries the candidate, and prints the verdict.
///
/// # Errors
///
/// When it has failed, or could not be tried.
pub async fn smoke(options: &Options) -> Result<()> {
    let cached = remembered(options).await;
    let tiers = if cached {
        &[Tier::Wiring][..]
    } else {
        &options.tiers
    };
    let mut verdict = Verdict::new(&options.candidate.url(), options.image.clone(), cached);
    for tier in tiers {
        let outcome = attempt(options, *tier).await;
        let failed = !outcome.passed;
        verdict.add(outcome);
        if failed {
            break;
        }
    }
    let text = serde_json::to_string_pretty(&verdict)?;
    writeln!(io::stdout(), "{text}")?;
    if let Some(failed) = verdict.failure() {
        bail!("smoke: {failed}");
    }
    passed(options, cached, &verdict, &text).await
}

/// What follows from a pass.
async fn passed(options: &Options, cached: bool, verdict: &Verdict, text: &str) -> Result<()> {
    if let (false, Some(passes), Some(image)) = (cached, &options.passes, &options.image) {
        passes.remember(image, &options.tiers, text).await?;
    }
    match &options.promote {
        Some(promotion) => {
            let token = options.candidate.token();
            promotion.ask(token, &serde_json::to_value(verdict)?).await
        }
        None => Ok(()),
    }
}

/// Whether this image has passed all of this before.
async fn remembered(options: &Options) -> bool {
    let (Some(passes), Some(image)) = (&options.passes, &options.image) else {
        return false;
    };
    match passes.has(image, &options.tiers).await {
        Ok(has) => has,
        Err(error) => {
            warn!("passes are not to be had, so it is tried again: {error:#}");
            false
        }
    }
}

/// One tier, in its time; whatever it has begun is cleaned up.
async fn attempt(options: &Options, tier: Tier) -> Outcome {
    info!("trying {tier}");
    let (began, mut facts) = (Instant::now(), Facts::new());
    let patience = Duration::from_secs(options.seconds.unwrap_or(tier.seconds()));
    let tried = timeout(patience, run(options, tier, &mut facts)).await;
    let tried =
        tried.unwrap_or_else(|_| Err(anyhow!("over its budget of {} seconds", patience.as_secs())));
    let cleaned = timeout(CLEAN_UP, options.candidate.clear()).await;
    let cleaned = cleaned.unwrap_or_else(|_| Err(anyhow!("the candidate does not clean up")));
    Outcome::new(tier, tried.and(cleaned), began.elapsed(), facts)
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
