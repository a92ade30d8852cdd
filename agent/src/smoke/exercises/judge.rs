//! Judging: on a view that no agent has access to, with the tests of the base, and
//! of each agent's view only the files of its part.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs,
    path::Path,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{io::AsyncReadExt, time::timeout};

use super::{confined, deployed::Deployed, protocol::Judgement};

/// How many seconds a suite may take.
const SUITE_TIMEOUT: u64 = 60;
/// How many seconds one run of a program may take.
const RUN_TIMEOUT: u64 = 10;
/// How many bytes of a program's output are read.
const MAX_OUTPUT: u64 = 1 << 16;
/// How many characters of a suite's output are reported.
const MAX_REPORT: usize = 2000;

impl Deployed {
    /// Runs the suite with the repairs of these parts.
    pub(super) async fn judge(&self, parts: &[usize]) -> Result<Judgement> {
        let view = self.prepare(parts)?.to_owned();
        let output = self.run(&view, SUITE_TIMEOUT, &["sh", "tests/run"]).await?;
        let names = |start| {
            let lines = output
                .lines()
                .filter_map(move |line| line.strip_prefix(start));
            lines.map(str::to_owned).collect::<BTreeSet<_>>()
        };
        let (passing, mut failing) = (names("ok "), names("not ok "));
        // A test that a suite did not get to has not passed.
        failing.extend(self.tests().filter(|test| !passing.contains(test)));
        let mut tampered = Vec::new();
        for part in parts {
            if tests_of(&self.views[*part].path)? != tests_of(&view)? {
                tampered.push(*part);
            }
        }
        Ok(Judgement {
            failing,
            output: output.chars().take(MAX_REPORT).collect(),
            tampered,
        })
    }

    /// Runs a program with the repairs of these parts for each input; what it prints.
    pub(super) async fn outputs(
        &self,
        parts: &[usize],
        program: &str,
        inputs: &[String],
    ) -> Result<Vec<String>> {
        let view = self.prepare(parts)?.to_owned();
        let mut outputs = Vec::new();
        for input in inputs {
            let text = self.run(&view, RUN_TIMEOUT, &[program, input]).await?;
            outputs.push(text.trim_end_matches('\n').chars().take(80).collect());
        }
        Ok(outputs)
    }

    /// Resets the view to judge on to the base, with the repairs of these parts.
    fn prepare(&self, parts: &[usize]) -> Result<&Path> {
        let view = self.judge_view();
        for file in self.exercise.files {
            let now = confined::read(view, file.path.as_ref());
            if !now.is_ok_and(|bytes| bytes == file.text.as_bytes()) {
                confined::write(view, file.path.as_ref(), file.text.as_bytes())?;
            }
        }
        self.copy_repairs(parts, view)?;
        Ok(view)
    }

    /// Runs a command in a clean environment; its output. What the command leaves
    /// running may hold the output open: that is waited for only a little longer.
    async fn run(&self, view: &Path, seconds: u64, words: &[&str]) -> Result<String> {
        let mut command = self.judge.command("timeout".as_ref(), &Vec::new());
        command.args(["--kill-after=1", &seconds.to_string()]);
        command.args(words).current_dir(view).env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        command.stdin(Stdio::null()).stderr(Stdio::null());
        let started = command.stdout(Stdio::piped()).kill_on_drop(true).spawn();
        let mut child = started.with_context(|| format!("cannot run {}", words.join(" ")))?;
        let output = child.stdout.take().expect("standard output is a pipe");
        let mut bytes = Vec::new();
        let mut output = output.take(MAX_OUTPUT);
        let read = output.read_to_end(&mut bytes);
        // Of a program that takes longer, the output until then counts.
        if let Ok(read) = timeout(Duration::from_secs(seconds + 2), read).await {
            read.context("cannot read the output")?;
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn tests(&self) -> impl Iterator<Item = String> {
        let paths = self.exercise.files.iter().map(|file| file.path);
        let below = paths.filter_map(|path| path.strip_prefix("tests/"));
        below.filter(|name| *name != "run").map(str::to_owned)
    }
}

/// Everything in `tests/`, by name and content; `None` for what cannot be read,
/// which differs from any content.
fn tests_of(view: &Path) -> Result<BTreeMap<OsString, Option<Vec<u8>>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(view.join("tests")).context("the directory tests is gone")? {
        let name = entry?.file_name();
        let content = confined::read(view, &Path::new("tests").join(&name)).ok();
        found.insert(name, content);
    }
    Ok(found)
}
