//! What one agent is to do, in how many turns.

use anyhow::{Result, bail};

use super::{candidate::Candidate, exercise::Part, player::Player};

/// A part of an exercise.
#[derive(Debug)]
pub(super) struct Task<'a> {
    pub(super) candidate: &'a Candidate,
    pub(super) part: &'a Part,
    /// Whose repairs are judged together; its own are among them.
    pub(super) judged: &'a [usize],
    pub(super) turns: u32,
}

impl Task<'_> {
    /// Has it done, and told what is still red as long as there are turns; how
    /// many it took.
    pub(super) async fn solve(&self, player: &Player) -> Result<u32> {
        let mut message = self.part.brief();
        let mut said = String::new();
        for turn in 1..=self.turns {
            player.turn(&message).await?;
            let judged = self.candidate.judge(self.judged).await?;
            if let Some(told) = judged.tampering() {
                bail!("{told}");
            }
            if !self
                .part
                .tests
                .iter()
                .any(|test| judged.failing.contains(*test))
            {
                return Ok(turn);
            }
            said = judged.said;
            message = format!("Not yet. sh tests/run says:\n{said}");
        }
        bail!(
            "{} still fails after {} turns: {said}",
            self.part.tests.join(" or "),
            self.turns
        )
    }
}
