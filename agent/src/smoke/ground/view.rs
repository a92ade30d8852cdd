//! Views of one export, each with a layer of its own or none.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::{fs, process::Command};
use tracing::warn;

use super::Options;
use crate::machine::{
    attach::{attaching, json, uri},
    user::User,
};

/// Where a view is, and how it came there.
#[derive(Debug, Serialize)]
pub(super) struct View {
    pub(super) path: PathBuf,
    via: String,
    milliseconds: f64,
}

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
        (path, user): (PathBuf, User),
    ) -> Result<Self> {
        fs::create_dir_all(&path).await?;
        let uri = uri(&socket.display().to_string(), "");
        let place = (path.as_path(), &*state(options));
        let mut attach = attaching(&options.blockd, &uri, place, user);
        if path.ends_with("read-only") {
            attach.arg("--read-only");
        }
        let attached: Attached = json(&mut attach).await?;
        Ok(Self {
            path,
            via: attached.via,
            milliseconds: attached.milliseconds,
        })
    }
}

/// Takes all views away that there are, whole or not; the first failure.
pub(super) async fn detach_all(options: &Options) -> Result<()> {
    let mut outcome = Ok(());
    let Ok(mut entries) = fs::read_dir(folder(options).join("views")).await else {
        return outcome;
    };
    while let Some(entry) = entries.next_entry().await? {
        let detached = detach(options, &entry.path()).await;
        let detached = detached.with_context(|| format!("{} is left", entry.path().display()));
        outcome = outcome.and(detached);
    }
    outcome
}

/// Takes a view away, with its changes.
async fn detach(options: &Options, path: &Path) -> Result<()> {
    let mut detach = Command::new(&options.blockd);
    detach.args(["detach", "--json", "--discard", "--lazy", "--state"]);
    detach.arg(state(options)).arg(path);
    let _detached: serde_json::Value = json(&mut detach).await?;
    Ok(())
}

fn state(options: &Options) -> PathBuf {
    options.directory.join("state")
}

/// Where the current exercise lies.
pub(super) fn folder(options: &Options) -> PathBuf {
    options.directory.join("exercise")
}

/// Takes away what a ground that was killed has left.
pub(super) async fn clear_left_over(options: &Options) {
    if let Err(error) = detach_all(options).await {
        warn!("{error:#}");
        return;
    }
    match fs::remove_dir_all(folder(options)).await {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            warn!("{} is left: {error}", folder(options).display());
        }
        _ => {}
    }
}
