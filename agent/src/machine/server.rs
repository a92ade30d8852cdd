//! `agent serve` as a child, and beside it the ground for exercises where the
//! machine is one that is tried out.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    time::timeout,
};
use tracing::{info, warn};

use super::Options;
use crate::signals::EndSignals;

/// How long exercises may take to be taken away.
const GROUND: Duration = Duration::from_secs(20);

/// Runs it until it ends, or is told to.
pub(super) async fn serve(
    options: &Options,
    state: &Path,
    run: &Path,
    signals: &mut EndSignals,
) -> Result<()> {
    let mut server = start(serve_command(options, run), "agent serve")?;
    let mut ground = match &options.ground {
        Some(listen) => Some(start(
            ground_command(options, listen, state, run),
            "agent ground",
        )?),
        None => None,
    };
    let mut is_told = false;
    let ended = loop {
        tokio::select! {
            ended = server.wait() => break ended?,
            () = signals.received() => {
                is_told = true;
                tell(&server, Signal::TERM);
            }
        }
    };
    if let Some(ground) = &mut ground {
        tell(ground, Signal::TERM);
        // The diff is still to be handed over: that does not wait for exercises.
        if timeout(GROUND, ground.wait()).await.is_err() {
            warn!("agent ground does not end: it is killed");
            ground.kill().await?;
        }
    }
    // It may be told before it listens, and dies of it.
    let dies_of_it = is_told && ended.code().is_none();
    ensure!(ended.success() || dies_of_it, "agent serve: {ended}");
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

/// It attaches and judges, and keeps the power to do so.
fn ground_command(options: &Options, listen: &str, state: &Path, run: &Path) -> Command {
    let mut ground = Command::new(&options.agent);
    ground.args(["ground", "--listen", listen, "--directory"]);
    ground.arg(state.join("ground"));
    ground.arg("--blockd").arg(&options.blockd);
    ground.arg(format!("--uid={}", options.user.uid));
    ground.arg(format!("--gid={}", options.user.gid));
    if options.token.is_some() {
        ground.arg("--token-file").arg(run.join("token"));
    }
    ground
}

fn start(mut command: Command, name: &str) -> Result<Child> {
    command.kill_on_drop(true);
    command
        .spawn()
        .with_context(|| format!("cannot start {name}"))
}

fn tell(child: &Child, sign: Signal) {
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    if let Some(pid) = pid {
        // It may have ended just now.
        let _told = kill_process(pid, sign);
    }
}
