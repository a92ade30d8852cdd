//! The tier `wiring`: the machine answers, blockd can attach there, and a change
//! in one view stays in it.

use anyhow::{Result, bail, ensure};

use super::{candidate::Candidate, exercise::TEAM, verdict::Facts};

pub(super) async fn run(candidate: &Candidate, facts: &mut Facts) -> Result<()> {
    candidate.check_health().await?;
    let findings = candidate.findings().await?;
    facts.insert("probe".to_owned(), serde_json::to_value(&findings)?);
    if let Some(obstacle) = findings.obstacle() {
        bail!("blockd cannot attach on the machine: {obstacle}");
    }
    let views = candidate.deploy(&TEAM).await?;
    facts.insert("attached".to_owned(), views);
    let change = candidate.change().await?;
    ensure!(change.faults.is_empty(), "{}", change.faults.join("; "));
    Ok(())
}
