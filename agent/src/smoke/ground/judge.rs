//! Judging: on a view that no agent has worked on, with the tests of the base
//! and of each agent's view only the files that it was given.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::laid::Laid;

/// Seconds that a suite may take.
const LONGEST_SUITE: &str = "60";
/// And one run of a program.
const LONGEST_RUN: &str = "10";
/// As much of what a suite says as a person reads.
const LONGEST_SAID: usize = 2000;

/// What was found.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::smoke) struct Judgement {
    /// Tests that fail.
    pub(in crate::smoke) failing: BTreeSet<String>,
    /// What the suite said, as far as it is short.
    pub(in crate::smoke) said: String,
    /// Parts in whose views the tests are not those of the base.
    pub(in crate::smoke) tampered: Vec<usize>,
}

impl Judgement {
    /// A sentence about agents that have changed the tests.
    pub(in crate::smoke) fn tampering(&self) -> Option<String> {
        let first = self.tampered.first()? + 1;
        Some(format!("agent {first} has changed the tests"))
    }
}

impl Laid {
    /// Runs the suite with what these parts have repaired.
    pub(super) async fn judge(&self, parts: &[usize]) -> Result<Judgement> {
        let view = self.prepare(parts)?;
        let output = self.run(&view, LONGEST_SUITE, &["sh", "tests/run"]).await?;
        let said = String::from_utf8_lossy(&output.stdout);
        let words = |start| {
            let lines = said
                .lines()
                .filter_map(move |line| line.strip_prefix(start));
            lines.map(str::to_owned).collect::<BTreeSet<_>>()
        };
        let (green, mut failing) = (words("ok "), words("not ok "));
        // A suite that ends early has not been green.
        failing.extend(self.tests().filter(|test| !green.contains(test)));
        let mut tampered = Vec::new();
        for part in parts {
            if tests_of(&self.views[*part].path)? != tests_of(&view)? {
                tampered.push(*part);
            }
        }
        Ok(Judgement {
            failing,
            said: said.chars().take(LONGEST_SAID).collect(),
            tampered,
        })
    }

    /// What a program prints for each input.
    pub(super) async fn outputs(
        &self,
        parts: &[usize],
        program: &str,
        inputs: &[String],
    ) -> Result<Vec<String>> {
        let view = self.prepare(parts)?;
        let mut outputs = Vec::new();
        for input in inputs {
            let output = self.run(&view, LONGEST_RUN, &[program, input]).await?;
            let text = String::from_utf8_lossy(&output.stdout);
            outputs.push(text.trim_end_matches('\n').chars().take(80).collect());
        }
        Ok(outputs)
    }

    /// The base, and on it the files of these parts.
    fn prepare(&self, parts: &[usize]) -> Result<PathBuf> {
        let view = self.judge_view().to_owned();
        for file in self.exercise.files {
            let path = view.join(file.path);
            let now = fs::read(&path);
            if !now.is_ok_and(|bytes| bytes == file.text.as_bytes()) {
                fs::write(path, file.text)?;
            }
        }
        self.repairs(parts, &view)?;
        Ok(view)
    }

    /// As the user, and without anything of our environment.
    async fn run(&self, view: &Path, seconds: &str, words: &[&str]) -> Result<Output> {
        let mut command = self.user.command("timeout".as_ref());
        command.args(["--kill-after=1", seconds]).args(words);
        command.env_clear().env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        let output = command.current_dir(view).output().await;
        output.with_context(|| format!("cannot run {}", words.join(" ")))
    }

    fn tests(&self) -> impl Iterator<Item = String> {
        let paths = self.exercise.files.iter().map(|file| file.path);
        let below = paths.filter_map(|path| path.strip_prefix("tests/"));
        below.filter(|name| *name != "run").map(str::to_owned)
    }
}

/// Everything below `tests/`, by name and content.
fn tests_of(view: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let folder = view.join("tests");
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).context("the tests are gone")? {
        let path = entry?.path();
        let is_file = fs::symlink_metadata(&path)?.is_file();
        let name = path.strip_prefix(view)?.to_owned();
        let content = if is_file {
            fs::read(&path)?
        } else {
            Vec::new()
        };
        ensure!(content.len() < 1 << 20, "{} is too long", name.display());
        found.push((name, content));
    }
    found.sort();
    Ok(found)
}
