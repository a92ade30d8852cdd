//! A server that runs as a child process.

use std::{process::Stdio, time::Duration};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::machine::process::terminate;

/// How long it may take to end; an agent gives its codex 5 s.
const END_TIMEOUT: Duration = Duration::from_secs(15);

/// A server that runs as a child process, and is killed when it is dropped.
#[derive(Debug)]
pub(super) struct Program {
    child: Child,
    /// Open as long as the process, which may write to it.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Program {
    /// Starts a command, and waits for the first line of its output, which is
    /// returned: it is ready then.
    pub(super) async fn start(command: &mut Command) -> Result<(Self, String)> {
        let name = command.as_std().get_program().display().to_string();
        let started = command.stdout(Stdio::piped()).kill_on_drop(true).spawn();
        let mut child = started.with_context(|| format!("cannot start {name}"))?;
        let output = child.stdout.take().expect("standard output is a pipe");
        let mut output = BufReader::new(output).lines();
        let ready = output.next_line().await?;
        let ready = ready.with_context(|| format!("{name} ended before it was ready"))?;
        let program = Self {
            child,
            _output: output,
        };
        Ok((program, ready))
    }

    /// Terminates it, and kills it if it does not end in time.
    pub(super) async fn end(&mut self) -> Result<()> {
        terminate(&self.child)?;
        match timeout(END_TIMEOUT, self.child.wait()).await {
            Ok(ended) => ended.map(drop)?,
            Err(_) => self.child.kill().await?,
        }
        Ok(())
    }
}
