//! A part of an exercise, as one agent solves it.

use anyhow::{Result, bail};

use super::{agent_client::AgentClient, candidate::Candidate, exercise::Part};

/// A part of an exercise, and how it is judged.
#[derive(Debug)]
pub(super) struct Task<'a> {
    pub(super) candidate: &'a Candidate,
    pub(super) part: &'a Part,
    /// The parts whose repairs are judged together; this part is among them.
    pub(super) judged: &'a [usize],
    /// How many messages the agent gets.
    pub(super) turns: u32,
}

impl Task<'_> {
    /// Has the agent solve it, and sends it the output of failing tests as long as
    /// there are turns left; how many turns it took.
    pub(super) async fn solve(&self, agent: &AgentClient) -> Result<u32> {
        let mut message = self.part.brief();
        let mut output = String::new();
        for turn in 1..=self.turns {
            agent.turn(&message).await?;
            let judgement = self.candidate.judge(self.judged).await?;
            if let Some(tampering) = judgement.tampering() {
                bail!("{tampering}");
            }
            let mut tests = self.part.tests.iter();
            if !tests.any(|test| judgement.failing.contains(*test)) {
                return Ok(turn);
            }
            output = judgement.output;
            message = format!("Not yet. sh tests/run says:\n{output}");
        }
        bail!(
            "{} still fails after {} turns: {output}",
            self.part.tests.join(" or "),
            self.turns
        )
    }
}
