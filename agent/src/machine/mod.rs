//! `agent boot`: what a machine runs. It looks at the kernel, attaches the
//! repository that its environment names, and starts `agent serve` as a user
//! without power; when that ends, it takes the work tree down and hands the
//! diff over before the machine stops.
//!
//! ```text
//! probe ─► bring the diff ─► attach ─► agent serve ─► detach ─► hand the diff over ─► exit
//! ```
//! It ends well when `agent serve` does, as after idleness, and the platform
//! leaves it stopped; after a failure the platform restarts it.

pub(crate) mod attach;
mod diff;
pub mod probe;
mod server;
pub mod store;
pub mod user;
mod volume;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tokio::{fs, io::AsyncWriteExt, time::timeout};
use tracing::{info, warn};

use self::{
    attach::{Mode, WorkTree},
    diff::Diff,
    probe::Probe,
    user::User,
};
use crate::{machine::store::Store, signals::EndSignals};

/// How long codex may take to sign in; it only writes a file.
const SIGN_IN: Duration = Duration::from_secs(30);

/// What a machine is.
#[derive(Debug)]
pub struct Options {
    /// The export, without a server; none: an empty workspace.
    pub repo: Option<String>,
    /// Where blockd is, the best first.
    pub servers: Vec<String>,
    /// Whether changes are taken.
    pub mode: Mode,
    /// Where codex works.
    pub workspace: PathBuf,
    /// Where changes are kept; none: where there is a place.
    pub state: Option<PathBuf>,
    /// Where the diff goes when the machine stops.
    pub store: Option<Store>,
    /// What the diff is called there.
    pub name: Option<String>,
    /// Who runs codex.
    pub user: User,
    /// The token that callers must send.
    pub token: Option<String>,
    /// The key that the coordinator's grants are made with.
    pub grant_key: Option<String>,
    /// Codex's key, if it shall sign in with one.
    pub codex_key: Option<String>,
    /// Our own program, and blockd's.
    pub agent: PathBuf,
    /// See `agent`.
    pub blockd: PathBuf,
    /// What is told to `agent serve` besides.
    pub serve: Vec<String>,
    /// Where exercises are laid out for `agent smoke`, if they shall be.
    pub ground: Option<String>,
}

/// Runs a machine until `agent serve` has ended.
///
/// # Errors
///
/// A sentence about what does not work; nothing is left mounted.
pub async fn boot(options: &Options) -> Result<()> {
    let mut signals = EndSignals::listen()?;
    let state = volume::place(options.state.as_deref())?;
    let probe = Probe::take(&state).await;
    info!(
        "this machine: {}",
        serde_json::to_string(&probe).unwrap_or_default()
    );
    let run = state.join("run");
    prepare(options, &run).await?;
    let diff = Diff::new(options, &state);
    let tree = if let Some(repo) = &options.repo {
        tokio::select! {
            tree = begin(options, repo, &diff, &state) => Some(tree?),
            () = signals.received() => {
                info!("told to end before the work tree was there");
                return attach::clear(options, &state).await;
            }
        }
    } else {
        empty_workspace(options).await?;
        None
    };
    let served = server::serve(options, &state, &run, &mut signals).await;
    if let Some(tree) = tree {
        finish(&tree, &diff).await?;
    }
    served
}

/// Brings what was changed before, and attaches.
async fn begin(options: &Options, repo: &str, diff: &Diff<'_>, state: &Path) -> Result<WorkTree> {
    let export = diff.bring().await?;
    let wanted = export.as_deref().unwrap_or(repo);
    let tree = WorkTree::attach(options, wanted, state).await?;
    diff.remember(repo, &tree.export).await?;
    Ok(tree)
}

/// Takes the work tree down, and hands the diff over.
async fn finish(tree: &WorkTree, diff: &Diff<'_>) -> Result<()> {
    let changed = tree.detach().await?;
    let handed = diff.hand_over(changed).await;
    // An exit code other than 0 has the machine restarted, with the diff on it.
    handed.context("the diff is on this machine only")
}

async fn empty_workspace(options: &Options) -> Result<()> {
    let workspace = &options.workspace;
    let made = fs::create_dir_all(workspace).await;
    made.with_context(|| format!("cannot make {}", workspace.display()))?;
    options.user.own(workspace)
}

/// The token's file, and codex's key.
async fn prepare(options: &Options, run: &Path) -> Result<()> {
    fs::create_dir_all(run).await?;
    options.user.own(run)?;
    if let Some(token) = &options.token {
        options.user.secret(&run.join("token"), token)?;
    }
    if let Some(key) = &options.grant_key {
        options.user.secret(&run.join("grant"), key)?;
    }
    if let Some(key) = &options.codex_key
        && let Err(error) = sign_in(options, key).await
    {
        // Its own configuration may need no key.
        warn!("codex does not sign in: {error:#}");
    }
    Ok(())
}

/// Codex asks for a sign-in although its key is in the environment.
async fn sign_in(options: &Options, key: &str) -> Result<()> {
    let mut login = options.user.command("codex".as_ref());
    login
        .args(["login", "--with-api-key"])
        .stdin(Stdio::piped());
    login.kill_on_drop(true);
    let mut login = login.spawn().context("there is no codex")?;
    if let Some(mut input) = login.stdin.take() {
        input.write_all(key.as_bytes()).await?;
    }
    let status = timeout(SIGN_IN, login.wait()).await;
    let status = status.context("codex login does not end")??;
    ensure!(status.success(), "codex login: {status}");
    Ok(())
}
