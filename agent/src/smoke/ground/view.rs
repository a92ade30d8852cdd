//! Views of one export, each with a layer of its own or none.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};
use tokio::{fs, process::Command};
use tracing::warn;

use super::Options;
use crate::boot::attach::{json, uri};

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
    /// Attaches the only repository of the server at this socket.
    pub(super) async fn attach(options: &Options, socket: &Path, path: PathBuf) -> Result<Self> {
        fs::create_dir_all(&path).await?;
        let mut attach = Command::new(&options.blockd);
        attach.args(["attach", "--json"]);
        attach
            .arg(uri(&socket.display().to_string(), ""))
            .arg(&path);
        attach.arg("--state").arg(state(options));
        attach.arg(format!("--uid={}", options.user.uid));
        attach.arg(format!("--gid={}", options.user.gid));
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

/// Takes a view away, with its changes.
pub(super) async fn detach(options: &Options, path: &Path) -> Result<()> {
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
    let views = folder(options).join("views");
    let Ok(mut entries) = fs::read_dir(&views).await else {
        return;
    };
    while let Ok(Some(entry)) = entries.next_entry().await {
        if let Err(error) = detach(options, &entry.path()).await {
            warn!("{} is left: {error:#}", entry.path().display());
            return;
        }
    }
    if let Err(error) = fs::remove_dir_all(folder(options)).await {
        warn!("{} is left: {error}", folder(options).display());
    }
}
