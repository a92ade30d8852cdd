//! The tier `puzzle`: codex makes a failing test pass, and has understood the
//! fault: inputs that are in no test come out right, too.

use anyhow::{Result, ensure};
use rand::RngExt;

use super::{candidate::Candidate, exercise::PUZZLE, roman::roman, task::Task, verdict::Facts};

/// How many random inputs there are besides the chosen ones.
const RANDOM_INPUTS: u32 = 16;

pub(super) async fn run(candidate: &Candidate, turns: u32, facts: &mut Facts) -> Result<()> {
    candidate.deploy(&PUZZLE).await?;
    let agent = candidate.agent(0).await?;
    agent.start().await?;
    let task = Task {
        candidate,
        part: &PUZZLE.parts[0],
        judged: &[0],
        turns,
    };
    let used = task.solve(&agent).await?;
    facts.insert("turns".to_owned(), used.into());
    agent.stop().await?;
    // Random, so that nobody can have learnt them.
    let random = (0..RANDOM_INPUTS).map(|_| rand::rng().random_range(1..4000));
    let numbers: Vec<u32> = [40, 94, 400, 1994].into_iter().chain(random).collect();
    let inputs: Vec<_> = numbers.iter().map(ToString::to_string).collect();
    let outputs = candidate.outputs(&[0], "./roman", &inputs).await?;
    ensure!(outputs.len() == numbers.len(), "outputs are missing");
    for (number, output) in numbers.iter().zip(&outputs) {
        let expected = roman(*number);
        ensure!(
            *output == expected,
            "the tests pass, but {number} becomes {output:?} and not {expected}"
        );
    }
    facts.insert("hidden".to_owned(), inputs.len().into());
    Ok(())
}
