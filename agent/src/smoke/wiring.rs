//! It answers, its kernel can attach a repository, and what is changed in one
//! view stays there.

use anyhow::{Result, bail, ensure};

use super::{Facts, candidate::Candidate, exercise::TEAM};

pub(super) async fn run(candidate: &Candidate, facts: &mut Facts) -> Result<()> {
    candidate.healthy().await?;
    let probe = candidate.probe().await?;
    facts.insert("probe".to_owned(), serde_json::to_value(&probe)?);
    if let Some(obstacle) = probe.obstacle() {
        bail!("its kernel cannot attach: {obstacle}");
    }
    let laid = candidate.lay_out(&TEAM).await?;
    facts.insert("attached".to_owned(), laid);
    let change = candidate.change().await?;
    ensure!(change.faults.is_empty(), "{}", change.faults.join("; "));
    Ok(())
}
