//! Agents on views of one base repair a repository together: two at the same
//! time, then a third that puts their work together. Each is needed: without
//! what any one of them has done the suite is red.

use anyhow::{Result, bail, ensure};
use serde_json::json;
use tokio::try_join;

use super::{Facts, candidate::Candidate, exercise::TEAM, player::Player, task::Task};

/// How many must have contributed.
const ENOUGH: usize = 2;

pub(super) async fn run(candidate: &Candidate, turns: u32, facts: &mut Facts) -> Result<()> {
    candidate.lay_out(&TEAM).await?;
    let before = candidate.judge(&[]).await?;
    ensure!(
        before.failing.len() == 4,
        "the exercise is not as it was made"
    );
    let (first, second) = (started(candidate, 0).await?, started(candidate, 1).await?);
    let task = |part: usize, judged| Task {
        candidate,
        part: &TEAM.parts[part],
        judged,
        turns,
    };
    // The first two know nothing of each other.
    let (own, other) = (task(0, &[0]), task(1, &[1]));
    let used = try_join!(own.solve(&first), other.solve(&second))?;
    try_join!(first.stop(), second.stop())?;
    candidate.hand(2, &[0, 1]).await?;
    let third = started(candidate, 2).await?;
    let last = task(2, &[0, 1, 2]).solve(&third).await?;
    third.stop().await?;
    facts.insert("turns".to_owned(), json!([used.0, used.1, last]));
    let contributed = contributors(candidate).await?;
    facts.insert("contributed".to_owned(), contributed.clone().into());
    ensure!(
        contributed.len() >= ENOUGH,
        "only {contributed:?} contributed"
    );
    Ok(())
}

async fn started(candidate: &Candidate, part: usize) -> Result<Player> {
    let player = candidate.agent(part).await?;
    player.start().await?;
    Ok(player)
}

/// The parts without which the suite is red; with all of them it is green.
async fn contributors(candidate: &Candidate) -> Result<Vec<usize>> {
    let all: Vec<_> = (0..TEAM.parts.len()).collect();
    let whole = candidate.judge(&all).await?;
    if let Some(told) = whole.tampering() {
        bail!("{told}");
    }
    ensure!(
        whole.failing.is_empty(),
        "with all repairs {:?} fail: {}",
        whole.failing,
        whole.said
    );
    let mut needed = Vec::new();
    for part in &all {
        let others: Vec<_> = all.iter().copied().filter(|other| other != part).collect();
        if !candidate.judge(&others).await?.failing.is_empty() {
            needed.push(*part);
        }
    }
    Ok(needed)
}
