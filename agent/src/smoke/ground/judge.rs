//! Judging: on a view that no agent has worked on, with the tests of the base
//! and of each agent's view only the files that it was given.

use std::{collections::BTreeSet, fs, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::{io::AsyncReadExt, time::timeout};

use super::{below, laid::Laid};

/// Seconds that a suite may take.
const LONGEST_SUITE: u64 = 60;
/// And one run of a program.
const LONGEST_RUN: u64 = 10;
/// More than that of what a program says is not heard.
const LONGEST_OUTPUT: u64 = 1 << 16;
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
        let view = self.prepare(parts)?.to_owned();
        let said = self.run(&view, LONGEST_SUITE, &["sh", "tests/run"]).await?;
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
        let view = self.prepare(parts)?.to_owned();
        let mut outputs = Vec::new();
        for input in inputs {
            let text = self.run(&view, LONGEST_RUN, &[program, input]).await?;
            outputs.push(text.trim_end_matches('\n').chars().take(80).collect());
        }
        Ok(outputs)
    }

    /// The base, and on it the files of these parts.
    fn prepare(&self, parts: &[usize]) -> Result<&Path> {
        let view = self.judge_view();
        for file in self.exercise.files {
            let now = below::read(view, file.path);
            if !now.is_ok_and(|bytes| bytes == file.text.as_bytes()) {
                below::write(view, file.path, file.text.as_bytes())?;
            }
        }
        self.repairs(parts, view)?;
        Ok(view)
    }

    /// What it says, without anything of our environment. What it leaves
    /// running may hold its output open: that is not waited for.
    async fn run(&self, view: &Path, seconds: u64, words: &[&str]) -> Result<String> {
        let mut command = self.judge.command("timeout".as_ref());
        command.args(["--kill-after=1", &seconds.to_string()]);
        command.args(words).current_dir(view).env_clear().env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        command.stdin(Stdio::null()).stderr(Stdio::null());
        let started = command.stdout(Stdio::piped()).kill_on_drop(true).spawn();
        let mut child = started.with_context(|| format!("cannot run {}", words.join(" ")))?;
        let mut said = Vec::new();
        if let Some(output) = child.stdout.take() {
            let mut output = output.take(LONGEST_OUTPUT);
            let heard = timeout(
                Duration::from_secs(seconds + 2),
                output.read_to_end(&mut said),
            );
            // Too late: what was heard until then counts.
            let _heard = heard.await;
        }
        Ok(String::from_utf8_lossy(&said).into_owned())
    }

    fn tests(&self) -> impl Iterator<Item = String> {
        let paths = self.exercise.files.iter().map(|file| file.path);
        let below = paths.filter_map(|path| path.strip_prefix("tests/"));
        below.filter(|name| *name != "run").map(str::to_owned)
    }
}

/// Everything below `tests/`, by name and content. What cannot be read is not
/// what it was.
fn tests_of(view: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(view.join("tests")).context("the tests are gone")? {
        let name = format!("tests/{}", entry?.file_name().to_string_lossy());
        let content = below::read(view, &name).unwrap_or_default();
        found.push((name, content));
    }
    found.sort();
    Ok(found)
}
