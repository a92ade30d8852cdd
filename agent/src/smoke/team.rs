//! The tier `team`: agents on views of one base repair a repository together: two
//! at the same time, then a third one that builds on their work. Each is needed:
//! without the repairs of any of them the suite fails.

use anyhow::{Result, bail, ensure};
use serde_json::json;
use tokio::try_join;

use super::{
    agent_client::AgentClient, candidate::Candidate, exercise::TEAM, task::Task, verdict::Facts,
};

/// How many agents must have contributed.
const MIN_CONTRIBUTORS: usize = 2;

pub(super) async fn run(candidate: &Candidate, turns: u32, facts: &mut Facts) -> Result<()> {
    candidate.deploy(&TEAM).await?;
    let before = candidate.judge(&[]).await?;
    ensure!(
        before.failing.len() == 4,
        "the exercise should fail 4 tests at first, but fails {:?}",
        before.failing
    );
    let (first, second) = (started(candidate, 0).await?, started(candidate, 1).await?);
    let task = |part: usize, judged| Task {
        candidate,
        part: &TEAM.parts[part],
        judged,
        turns,
    };
    // The first two work independently of each other.
    let (first_task, second_task) = (task(0, &[0]), task(1, &[1]));
    let used = try_join!(first_task.solve(&first), second_task.solve(&second))?;
    try_join!(first.stop(), second.stop())?;
    candidate.copy(&[0, 1], 2).await?;
    let third = started(candidate, 2).await?;
    let last = task(2, &[0, 1, 2]).solve(&third).await?;
    third.stop().await?;
    facts.insert("turns".to_owned(), json!([used.0, used.1, last]));
    let contributed = contributors(candidate).await?;
    facts.insert("contributed".to_owned(), contributed.clone().into());
    ensure!(
        contributed.len() >= MIN_CONTRIBUTORS,
        "only {contributed:?} contributed"
    );
    Ok(())
}

async fn started(candidate: &Candidate, part: usize) -> Result<AgentClient> {
    let agent = candidate.agent(part).await?;
    agent.start().await?;
    Ok(agent)
}

/// The parts without which the suite fails; with all of them it passes.
async fn contributors(candidate: &Candidate) -> Result<Vec<usize>> {
    let all: Vec<_> = (0..TEAM.parts.len()).collect();
    let whole = candidate.judge(&all).await?;
    if let Some(tampering) = whole.tampering() {
        bail!("{tampering}");
    }
    ensure!(
        whole.failing.is_empty(),
        "with all repairs {:?} fail: {}",
        whole.failing,
        whole.output
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
