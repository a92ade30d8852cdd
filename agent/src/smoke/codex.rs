//! The tier `codex`: codex answers a message. The answer is on its screen, and was
//! not part of the question.

use std::time::Duration;

use anyhow::{Result, bail};
use rand::RngExt;
use tokio::time::{Instant, sleep};

use super::{agent_client::POLL_INTERVAL, candidate::Candidate, verdict::Facts};

/// How long codex may be idle without an answer: between a message and the first
/// report of work it looks idle, too.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn run(candidate: &Candidate, facts: &mut Facts) -> Result<()> {
    let a: u32 = rand::rng().random_range(10_000..80_000);
    let b: u32 = rand::rng().random_range(10_000..20_000);
    let answer = (a + b).to_string();
    let agent = candidate.own_agent();
    agent.start().await?;
    let question =
        format!("What is {a} plus {b}? Answer with the number alone, without separators.");
    agent.message(&question).await?;
    let mut idle_since = Instant::now();
    while !shows(&agent.screen().await?, &answer) {
        if agent.is_working().await? {
            idle_since = Instant::now();
        }
        if idle_since.elapsed() >= ANSWER_TIMEOUT {
            bail!(
                "codex is idle and has not answered {answer}; its screen shows:\n{}",
                agent.screen().await?
            );
        }
        sleep(POLL_INTERVAL).await;
    }
    facts.insert("answer".to_owned(), answer.into());
    agent.stop().await
}

/// Whether a number is on the screen, and not as part of another one.
fn shows(screen: &str, number: &str) -> bool {
    let mut words = screen.split(|c: char| !c.is_ascii_digit());
    words.any(|word| word == number)
}

#[cfg(test)]
mod tests {
    use super::shows;

    #[test]
    fn a_number_is_a_word() {
        assert!(shows("• 26802.\n", "26802"));
        assert!(!shows("126802 268020", "26802"));
    }
}
