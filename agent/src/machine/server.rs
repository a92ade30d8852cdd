//! `agent serve` as a child process, and beside it `agent exercises` on a machine
//! that `agent smoke` tests.

use std::{ffi::OsString, fs::DirBuilder, os::unix::fs::DirBuilderExt, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::{
    process::{Child, Command},
    time::timeout,
};
use tracing::{info, warn};

use super::{options::Options, process::terminate, task::Task, user::User};
use crate::signals::EndSignals;

/// How long `agent exercises` may take to end.
const EXERCISES_TIMEOUT: Duration = Duration::from_secs(20);

/// The state directory, and in it that of the secrets of `agent serve`.
type Places<'a> = (&'a Path, &'a Path);

/// Runs `agent serve` until it ends, by itself or by a signal to this process.
///
/// # Errors
///
/// When it cannot be started, or fails.
pub(super) async fn serve(
    options: &Options,
    task: &Task,
    places: Places<'_>,
    signals: &mut EndSignals,
) -> Result<()> {
    let mut server = start(serve_command(options, task, places).await?, "agent serve")?;
    let mut exercises = match &options.exercises {
        Some(listen) => Some(start(
            exercises_command(options, listen, task, places),
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

/// As its own user, in a mount namespace where what all users may write is the task's.
async fn serve_command(
    options: &Options,
    task: &Task,
    (state, run): Places<'_>,
) -> Result<Command> {
    let mut words = Vec::new();
    if options.has_two_users() {
        words.extend(namespace(options, task, (state, run)).await?);
        words.extend(options.server.server_words(options.user));
    }
    words.push(options.agent.clone().into_os_string());
    let mut serve = Command::new(&words[0]);
    serve.args(&words[1..]);
    serve.env_clear();
    serve.envs(options.environment.iter().cloned());
    serve
        .arg("serve")
        .arg("--workspace")
        .arg(&options.workspace);
    // What it says counts here: the machine is the sandbox.
    serve.env("AGENT_TRUST_WORKSPACE", "1");
    serve.arg("--log-dir").arg(task.logs());
    if options.token.is_some() {
        serve.arg("--token-file").arg(run.join("token"));
    }
    if options.grant_key.is_some() {
        serve.env("AGENT_GRANT_KEY_FILE", run.join("grant"));
    }
    if options.has_two_users() {
        let User { uid, gid } = options.user;
        serve.arg(format!("--run-as={uid}:{gid}"));
        serve.env("HOME", task.home());
        serve.env("CODEX_HOME", task.codex_home());
    }
    serve.args(&options.serve);
    Ok(serve)
}

/// Binds the pairs in front of `--`, and runs what follows.
const BIND: &str = r#"while [ "$1" != -- ]; do mkdir -p "$2"; mount --rbind "$1" "$2"; shift 2; done; shift; exec "$@""#;

/// The words that run a command in a mount namespace of its own.
async fn namespace(
    options: &Options,
    task: &Task,
    (state, run): Places<'_>,
) -> Result<Vec<OsString>> {
    let private = ["--mount", "--propagation", "slave"];
    let mut probe = Command::new("unshare");
    let probe = probe.args(private).arg("true").output().await;
    let probe = probe.context("cannot run unshare")?;
    if !probe.status.success() {
        let message = String::from_utf8_lossy(&probe.stderr);
        warn!(
            "/tmp is not the task's own on this machine: {}",
            message.trim()
        );
        return Ok(Vec::new());
    }
    let programs = options
        .agent
        .parent()
        .context("a program is in a directory")?;
    let needed = [options.workspace.as_path(), state, programs];
    let mut binds = task.binds(&needed)?;
    if let Some(folder) = options.platform.parent().filter(|folder| folder.is_dir()) {
        let nothing = run.join("nothing");
        DirBuilder::new().mode(0o700).create(&nothing)?;
        binds.push((nothing, folder.to_owned()));
    }
    let mut words = vec![OsString::from("unshare")];
    words.extend(private.map(OsString::from));
    words.extend(["sh", "-euc", BIND, "sh"].map(OsString::from));
    for (source, place) in binds {
        words.extend([source.into_os_string(), place.into_os_string()]);
    }
    words.push("--".into());
    Ok(words)
}

/// It attaches file systems, and so runs with our own privileges.
fn exercises_command(
    options: &Options,
    listen: &str,
    task: &Task,
    (state, run): Places<'_>,
) -> Command {
    let mut exercises = Command::new(&options.agent);
    exercises.args(["exercises", "--listen", listen, "--directory"]);
    exercises.arg(state.join("exercises"));
    exercises.arg("--blockd").arg(&options.blockd);
    exercises.arg(format!("--uid={}", options.user.uid));
    exercises.arg(format!("--gid={}", options.user.gid));
    exercises.arg("--token-file").arg(run.join("token"));
    if options.has_two_users() {
        exercises.arg(format!("--server-uid={}", options.server.uid));
        exercises.env("HOME", task.home());
        exercises.env("CODEX_HOME", task.codex_home());
    }
    exercises
}

fn start(mut command: Command, name: &str) -> Result<Child> {
    command.kill_on_drop(true);
    command
        .spawn()
        .with_context(|| format!("cannot start {name}"))
}
