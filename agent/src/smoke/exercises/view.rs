//! Views: the exercise's repository, attached read-only or with an upper layer of
//! its own.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use blockd_nbd::uri::Address;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use tokio::{fs, process::Command};
use tracing::warn;

use super::options::Options;
use crate::{
    machine::{
        blockd::{attach_command, export_uri, json_of},
        user::User,
    },
    mode::Mode,
};

/// A view, and how it was attached.
#[derive(Debug, Serialize)]
pub(super) struct View {
    pub(super) path: PathBuf,
    via: String,
    milliseconds: f64,
}

/// What matters here of the output of `blockd attach --json`.
#[derive(Deserialize)]
struct Attached {
    via: String,
    milliseconds: f64,
}

impl View {
    /// Attaches the only repository of the server at this socket, for a user.
    pub(super) async fn attach(
        options: &Options,
        socket: &Path,
        name: &str,
        (user, mode): (User, Mode),
    ) -> Result<Self> {
        let path = options.views().join(name);
        fs::create_dir_all(&path).await?;
        let uri = export_uri(&Address::Unix(socket.to_owned()), "");
        let state = options.state();
        let mut attach = attach_command(&options.blockd, &uri, (&path, &state), user);
        if mode == Mode::ReadOnly {
            attach.arg("--read-only");
        }
        let attached: Attached = json_of(&mut attach).await?;
        Ok(Self {
            path,
            via: attached.via,
            milliseconds: attached.milliseconds,
        })
    }
}

/// Detaches all views that there are, also half attached ones. Returns the first
/// failure, after all were tried.
pub(super) async fn detach_all(options: &Options) -> Result<()> {
    let mut outcome = Ok(());
    let views = options.views();
    let mut entries = match fs::read_dir(&views).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return outcome,
        entries => entries.with_context(|| format!("cannot read {}", views.display()))?,
    };
    while let Some(entry) = entries.next_entry().await? {
        let detached = detach(options, &entry.path()).await;
        let detached =
            detached.with_context(|| format!("cannot detach {}", entry.path().display()));
        outcome = outcome.and(detached);
    }
    outcome
}

/// Detaches a view, and discards its changes.
async fn detach(options: &Options, path: &Path) -> Result<()> {
    let mut detach = Command::new(&options.blockd);
    detach.args(["detach", "--json", "--discard", "--lazy", "--state"]);
    detach.arg(options.state()).arg(path);
    let _: IgnoredAny = json_of(&mut detach).await?;
    Ok(())
}

/// Removes what was left by a process that was killed.
pub(super) async fn clear_left_over(options: &Options) {
    if let Err(error) = detach_all(options).await {
        warn!("an earlier exercise is left over: {error:#}");
        return;
    }
    let exercise = options.exercise();
    match fs::remove_dir_all(&exercise).await {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            warn!("cannot remove {}: {error}", exercise.display());
        }
        _ => {}
    }
}
