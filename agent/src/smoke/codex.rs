//! Codex answers a message: the answer is on the screen, and was not in the
//! question.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

use super::{Facts, candidate::Candidate, puzzle::random};

const LOOK: Duration = Duration::from_millis(250);
/// How long it may rest without an answer: between a message and the first
/// report of work it looks idle too.
const SILENCE: Duration = Duration::from_secs(10);

pub(super) async fn run(candidate: &Candidate, facts: &mut Facts) -> Result<()> {
    let (a, b) = (10_000 + random(70_000), 10_000 + random(9_999));
    let answer = (a + b).to_string();
    let player = candidate.own_agent();
    player.start().await?;
    let question =
        format!("What is {a} plus {b}? Answer with the number alone, without separators.");
    player.message(&question).await?;
    let mut rested = Instant::now();
    while !shows(&player.screen().await?, &answer) {
        if player.working().await? {
            rested = Instant::now();
        }
        if rested.elapsed() >= SILENCE {
            bail!(
                "codex rests and has not answered {answer}; its screen shows:\n{}",
                player.screen().await?
            );
        }
        sleep(LOOK).await;
    }
    facts.insert("answer".to_owned(), answer.into());
    player.stop().await
}

/// Whether a number stands on the screen, not as part of another one.
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
