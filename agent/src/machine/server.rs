//! `agent serve` as a child process, and beside it `agent exercises` on a machine
//! that `agent smoke` tests.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::{
    process::{Child, Command},
    time::timeout,
};
use tracing::{info, warn};

use super::{options::Options, process::terminate};
use crate::signals::EndSignals;

/// How long `agent exercises` may take to end.
const EXERCISES_TIMEOUT: Duration = Duration::from_secs(20);

/// Runs `agent serve` until it ends, by itself or by a signal to this process.
///
/// # Errors
///
/// When it cannot be started, or fails.
pub(super) async fn serve(
    options: &Options,
    state: &Path,
    run: &Path,
    signals: &mut EndSignals,
) -> Result<()> {
    let mut server = start(serve_command(options, run), "agent serve")?;
    let mut exercises = match &options.exercises {
        Some(listen) => Some(start(
            exercises_command(options, listen, state, run),
            "agent exercises",
        )?),
        None => None,
    };
    let mut is_terminated = false;
    let status = loop {
        tokio::select! {
            status = server.wait() => break status?,
            () = signals.received() => {
                is_terminated = true;
                terminate(&server)?;
            }
        }
    };
    if let Some(exercises) = &mut exercises {
        terminate(exercises)?;
        // The changes are still to be uploaded: they do not wait for exercises.
        if timeout(EXERCISES_TIMEOUT, exercises.wait()).await.is_err() {
            warn!("agent exercises does not end: killing it");
            exercises.kill().await?;
        }
    }
    // SIGTERM kills a server that has not installed its handler yet.
    let is_killed = is_terminated && status.code().is_none();
    ensure!(status.success() || is_killed, "agent serve: {status}");
    info!("agent serve has ended");
    Ok(())
}

fn serve_command(options: &Options, run: &Path) -> Command {
    let mut serve = options.user.command(options.agent.as_os_str());
    serve
        .arg("serve")
        .arg("--workspace")
        .arg(&options.workspace);
    serve.arg("--log-dir").arg(run.join("logs"));
    if options.token.is_some() {
        serve.arg("--token-file").arg(run.join("token"));
    }
    if options.grant_key.is_some() {
        serve.env("AGENT_GRANT_KEY_FILE", run.join("grant"));
    }
    serve.args(&options.serve);
    serve
}

/// It attaches file systems, and so runs with our own privileges.
fn exercises_command(options: &Options, listen: &str, state: &Path, run: &Path) -> Command {
    let mut exercises = Command::new(&options.agent);
    exercises.args(["exercises", "--listen", listen, "--directory"]);
    exercises.arg(state.join("exercises"));
    exercises.arg("--blockd").arg(&options.blockd);
    exercises.arg(format!("--uid={}", options.user.uid));
    exercises.arg(format!("--gid={}", options.user.gid));
    if options.token.is_some() {
        exercises.arg("--token-file").arg(run.join("token"));
    }
    exercises
}

fn start(mut command: Command, name: &str) -> Result<Child> {
    command.kill_on_drop(true);
    command
        .spawn()
        .with_context(|| format!("cannot start {name}"))
}
