//! The work tree, by way of `blockd attach` and `blockd detach`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;
use tokio::process::Command;
use tracing::info;

use super::{
    blockd::{attach_command, export_uri, json_of},
    options::Options,
    volume::attach_directory,
};
use crate::mode::Mode;

/// An attached work tree.
#[derive(Debug)]
pub(super) struct WorkTree {
    /// The canonical name of its export.
    pub(super) export: String,
    blockd: PathBuf,
    mountpoint: PathBuf,
    state: PathBuf,
}

/// What matters here of the output of `blockd attach --json`.
#[derive(Deserialize)]
struct Attached {
    export: String,
}

/// What matters here of the output of `blockd detach --json`.
#[derive(Deserialize)]
struct Detached {
    /// The directory with the changes, if there are any.
    diff: Option<String>,
}

impl WorkTree {
    /// Attaches from the first server that has the export; the other servers take
    /// over when it fails.
    pub(super) async fn attach(options: &Options, export: &str, state: &Path) -> Result<Self> {
        let state = attach_directory(state);
        let servers = options.servers.iter();
        let mut servers = servers.map(|server| export_uri(server, export));
        let first = servers
            .next()
            .context("no blockd server is given: see --servers")?;
        let paths = (options.workspace.as_path(), state.as_path());
        let mut attach = attach_command(&options.blockd, &first, paths, options.user);
        if options.mode == Mode::ReadOnly {
            attach.arg("--read-only");
        }
        for other in servers {
            attach.args(["--also", &other]);
        }
        let attached = json_of(&mut attach).await;
        let Attached { export } =
            attached.with_context(|| format!("cannot attach {export} from any server"))?;
        info!("{export} is attached at {}", options.workspace.display());
        Ok(Self {
            export,
            blockd: options.blockd.clone(),
            mountpoint: options.workspace.clone(),
            state,
        })
    }

    /// Detaches the work tree; whether it has changes.
    pub(super) async fn detach(&self) -> Result<bool> {
        detach(&self.blockd, &self.state, &self.mountpoint).await
    }
}

/// Removes what an interrupted attach has left.
pub(super) async fn clean_up(options: &Options, state: &Path) -> Result<()> {
    let state = attach_directory(state);
    let detached = detach(&options.blockd, &state, &options.workspace).await;
    detached.map(drop)
}

async fn detach(blockd: &Path, state: &Path, mountpoint: &Path) -> Result<bool> {
    let mut detach = Command::new(blockd);
    // Processes that codex left may still use the work tree; they end with the machine.
    detach.args(["detach", "--json", "--lazy"]);
    detach.arg("--state").arg(state).arg(mountpoint);
    let detached: Detached = json_of(&mut detach).await?;
    Ok(detached.diff.is_some())
}
