//! The work tree, through `blockd attach` and `blockd detach`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde::Deserialize;
use tokio::process::Command;
use tracing::{info, warn};

use super::{Options, diff::directory};

/// Whether changes are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Read-only.
    Ro,
    /// Read-write.
    Rw,
}

/// What is attached.
#[derive(Debug)]
pub(super) struct WorkTree {
    /// Its canonical name.
    pub(super) export: String,
    blockd: PathBuf,
    mountpoint: PathBuf,
    state: PathBuf,
}

#[derive(Deserialize)]
struct Attached {
    export: String,
}

#[derive(Deserialize)]
struct Detached {
    diff: Option<String>,
}

impl WorkTree {
    /// Attaches from the first server that has it.
    pub(super) async fn attach(options: &Options, export: &str, state: &Path) -> Result<Self> {
        let mut told = Vec::new();
        for server in &options.servers {
            let uri = uri(server, export);
            match attach_from(options, &uri, state).await {
                Ok(export) => {
                    info!("{} shows {export}", options.workspace.display());
                    return Ok(Self {
                        export,
                        blockd: options.blockd.clone(),
                        mountpoint: options.workspace.clone(),
                        state: directory(state),
                    });
                }
                Err(error) => {
                    warn!("{error:#}");
                    told.push(format!("{error:#}"));
                }
            }
        }
        ensure!(!told.is_empty(), "no blockd server is named: see --servers");
        bail!("no server attaches {export}: {}", told.join("; "))
    }

    /// Takes it away; whether there are changes.
    pub(super) async fn detach(&self) -> Result<bool> {
        detach(&self.blockd, &self.state, &self.mountpoint).await
    }
}

/// Takes away what an attach that was cut short has left.
pub(super) async fn clear(options: &Options, state: &Path) -> Result<()> {
    let cleared = detach(&options.blockd, &directory(state), &options.workspace).await;
    cleared.map(drop)
}

async fn detach(blockd: &Path, state: &Path, mountpoint: &Path) -> Result<bool> {
    let mut detach = Command::new(blockd);
    // What codex has left running may still be inside: it ends with us.
    detach.args(["detach", "--json", "--lazy"]);
    detach.arg("--state").arg(state).arg(mountpoint);
    let answer: Detached = json(&mut detach).await?;
    Ok(answer.diff.is_some())
}

async fn attach_from(options: &Options, uri: &str, state: &Path) -> Result<String> {
    let mut attach = Command::new(&options.blockd);
    attach.args(["attach", "--json", uri]);
    attach.arg(&options.workspace);
    attach.arg("--state").arg(directory(state));
    attach.arg(format!("--uid={}", options.user.uid));
    attach.arg(format!("--gid={}", options.user.gid));
    if options.mode == Mode::Ro {
        attach.arg("--read-only");
    }
    let answer: Attached = json(&mut attach).await?;
    Ok(answer.export)
}

/// What blockd answers.
pub(crate) async fn json<T: for<'a> Deserialize<'a>>(command: &mut Command) -> Result<T> {
    let program = command.as_std().get_program().to_owned();
    let output = command.kill_on_drop(true).output().await;
    let output = output.with_context(|| format!("cannot run {}", program.display()))?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{}",
        told.lines().next_back().unwrap_or("blockd said nothing")
    );
    let read = serde_json::from_slice(&output.stdout);
    read.with_context(|| format!("{} answers something else", program.display()))
}

/// HOST, HOST:PORT, or the path of a unix socket.
pub(crate) fn uri(server: &str, export: &str) -> String {
    if server.starts_with('/') {
        format!("nbd+unix:///{export}?socket={server}")
    } else {
        format!("nbd://{server}/{export}")
    }
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn servers_are_hosts_or_sockets() {
        for (server, made) in [
            ("blockd.flycast", "nbd://blockd.flycast/a/b@main"),
            ("[fdaa::3]:1", "nbd://[fdaa::3]:1/a/b@main"),
            ("/run/blockd", "nbd+unix:///a/b@main?socket=/run/blockd"),
        ] {
            assert_eq!(uri(server, "a/b@main"), made);
        }
    }
}
