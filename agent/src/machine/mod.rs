//! `agent boot`: what a machine runs. It attaches the repository that its
//! environment names, and starts `agent serve` and, by that, codex, as an unprivileged
//! user each; when that ends, it detaches the work tree and uploads the changes before the machine
//! stops.
//!
//! ```text
//! doctor ─► fetch changes ─► attach ─► agent serve ─► detach ─► upload changes ─► exit
//! ```
//! The exit status is that of `agent serve`: after success, as when it was idle,
//! the platform leaves the machine stopped; after a failure it restarts it.

pub(crate) mod blockd;
mod changes;
pub(crate) mod doctor;
mod options;
mod platform;
pub(crate) mod process;
mod server;
pub mod store;
mod task;
pub mod user;
mod volume;
mod work_tree;

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::{fs, io::AsyncWriteExt, time::timeout};
use tracing::{info, warn};

pub use self::options::Options;
use self::{
    changes::{Changes, remove_directory},
    doctor::Findings,
    task::Task,
    volume::attach_directory,
    work_tree::{WorkTree, clean_up},
};
use crate::signals::EndSignals;

/// How long `codex login` may take; it only writes a file.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs a machine until `agent serve` has ended.
///
/// # Errors
///
/// When a step fails; nothing is left mounted.
pub async fn boot(options: &Options) -> Result<()> {
    let mut signals = EndSignals::listen()?;
    let state = volume::state_directory(options.state.as_deref())?;
    log_findings(options, &state).await?;
    platform::hide(&options.platform)?;
    let run = state.join("run");
    let task = Task::begin(options, &state)?;
    prepare(options, &task, &run).await?;
    let changes = Changes::new(options, &state);
    let tree = if let Some(repo) = &options.repo {
        tokio::select! {
            tree = attach(options, repo, &changes, &state) => Some(tree?),
            () = signals.received() => {
                info!("ended by a signal before the work tree was attached");
                return clean_up(options, &state).await;
            }
        }
    } else {
        empty_workspace(options).await?;
        None
    };
    let served = server::serve(options, &task, (&state, &run), &mut signals).await;
    if let Some(tree) = tree {
        detach(&tree, &changes).await?;
    }
    served
}

/// Logs what this machine can do, for whoever asks why it cannot attach.
async fn log_findings(options: &Options, state: &Path) -> Result<()> {
    match Findings::collect(&options.blockd, &attach_directory(state)).await {
        Ok(findings) => info!("this machine: {}", serde_json::to_string(&findings)?),
        Err(error) => warn!("cannot examine this machine: {error:#}"),
    }
    Ok(())
}

/// Fetches earlier changes, and attaches.
async fn attach(
    options: &Options,
    repo: &str,
    changes: &Changes<'_>,
    state: &Path,
) -> Result<WorkTree> {
    let base = changes.fetch().await?;
    let export = base.as_deref().unwrap_or(repo);
    let tree = WorkTree::attach(options, export, state).await?;
    changes.set_base(repo, &tree.export).await?;
    Ok(tree)
}

/// Detaches the work tree, and uploads its changes.
async fn detach(tree: &WorkTree, changes: &Changes<'_>) -> Result<()> {
    let has_changes = tree.detach().await?;
    let uploaded = changes.upload(has_changes).await;
    // The exit status of a failure has the machine restarted, with the changes on it.
    uploaded.context("the changes are on this machine only")
}

async fn empty_workspace(options: &Options) -> Result<()> {
    let workspace = &options.workspace;
    let created = fs::create_dir_all(workspace).await;
    created.with_context(|| format!("cannot create {}", workspace.display()))?;
    options.user.chown(workspace)
}

/// Writes the secrets of `agent serve`, and signs codex in.
async fn prepare(options: &Options, task: &Task, run: &Path) -> Result<()> {
    // An earlier release had logs of the last task there.
    remove_directory(run).await?;
    fs::create_dir_all(run).await?;
    if let Some(token) = &options.token {
        let hash = token.to_string();
        options.server.write_secret(&run.join("token"), &hash)?;
    }
    if let Some(key) = &options.grant_key {
        options.server.write_secret(&run.join("grant"), key)?;
    }
    if let Some(key) = &options.codex_key
        && let Err(error) = sign_in(options, task, key).await
    {
        // A model provider in codex's own configuration may need no key.
        warn!("cannot sign codex in: {error:#}");
    }
    Ok(())
}

/// Signs codex in with a key: one in its environment alone is not used.
async fn sign_in(options: &Options, task: &Task, key: &str) -> Result<()> {
    let mut login = options.user.command("codex".as_ref(), &options.environment);
    login
        .args(["login", "--with-api-key"])
        .stdin(Stdio::piped());
    if options.has_two_users() {
        login.env("HOME", task.home());
        login.env("CODEX_HOME", task.codex_home());
    }
    login.kill_on_drop(true);
    let mut login = login.spawn().context("cannot run codex")?;
    let mut input = login.stdin.take().expect("standard input is a pipe");
    input.write_all(key.as_bytes()).await?;
    drop(input);
    let status = timeout(LOGIN_TIMEOUT, login.wait()).await;
    let status = status.context("codex login does not end")??;
    ensure!(status.success(), "codex login: {status}");
    Ok(())
}
