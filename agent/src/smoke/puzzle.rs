//! Codex makes a red test green, and has understood why: inputs that no test
//! has come out right too.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
};

use anyhow::{Result, ensure};

use super::{Facts, candidate::Candidate, exercise::PUZZLE, roman::roman, task::Task};

/// How many hidden inputs there are besides the telling ones.
const HIDDEN: u32 = 16;

pub(super) async fn run(candidate: &Candidate, turns: u32, facts: &mut Facts) -> Result<()> {
    candidate.lay_out(&PUZZLE).await?;
    let player = candidate.agent(0).await?;
    player.start().await?;
    let task = Task {
        candidate,
        part: &PUZZLE.parts[0],
        judged: &[0],
        turns,
    };
    let used = task.solve(&player).await?;
    facts.insert("turns".to_owned(), used.into());
    player.stop().await?;
    let numbers: Vec<_> = [40, 94, 400, 1994]
        .into_iter()
        .chain((0..HIDDEN).map(|_| 1 + random(3999)))
        .collect();
    let inputs: Vec<_> = numbers.iter().map(ToString::to_string).collect();
    let outputs = candidate.outputs(&[0], "./roman", &inputs).await?;
    ensure!(outputs.len() == numbers.len(), "outputs are missing");
    for (number, output) in numbers.iter().zip(&outputs) {
        let right = roman(*number);
        ensure!(
            *output == right,
            "the tests are green, but {number} becomes {output:?} and not {right}"
        );
    }
    facts.insert("hidden".to_owned(), inputs.len().into());
    Ok(())
}

/// A number below `end`, another one each time: nobody can have learnt it.
pub(super) fn random(end: u32) -> u32 {
    let drawn = RandomState::new().build_hasher().finish() % u64::from(end);
    u32::try_from(drawn).unwrap_or_default()
}
