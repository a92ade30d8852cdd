//! The work tree, through `blockd attach` and `blockd detach`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::Deserialize;
use tokio::process::Command;
use tracing::info;

use super::{Options, diff::directory, user::User};

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
    /// Attaches from the first server that has it; when that one is gone, reads
    /// go to the others.
    pub(super) async fn attach(options: &Options, export: &str, state: &Path) -> Result<Self> {
        let state = directory(state);
        let mut servers = options.servers.iter().map(|server| uri(server, export));
        let first = servers
            .next()
            .context("no blockd server is named: see --servers")?;
        let place = (options.workspace.as_path(), state.as_path());
        let mut attach = attaching(&options.blockd, &first, place, options.user);
        if options.mode == Mode::Ro {
            attach.arg("--read-only");
        }
        for other in servers {
            attach.args(["--also", &other]);
        }
        let attached = json(&mut attach).await;
        let Attached { export } =
            attached.with_context(|| format!("no server attaches {export}"))?;
        info!("{} shows {export}", options.workspace.display());
        Ok(Self {
            export,
            blockd: options.blockd.clone(),
            mountpoint: options.workspace.clone(),
            state,
        })
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

/// `blockd attach` at a mountpoint, with a state directory, for a user.
pub(crate) fn attaching(
    blockd: &Path,
    uri: &str,
    (mountpoint, state): (&Path, &Path),
    user: User,
) -> Command {
    let mut attach = Command::new(blockd);
    attach.args(["attach", "--json", uri]).arg(mountpoint);
    attach.arg("--state").arg(state);
    attach.arg(format!("--uid={}", user.uid));
    attach.arg(format!("--gid={}", user.gid));
    attach
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
