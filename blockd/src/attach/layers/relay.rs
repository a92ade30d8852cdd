//! Starting the relay of a lower layer.

use std::{
    fs::{self, File},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::timeout,
};

use crate::{
    attach::{
        commands::options::Options,
        state::{lock::Lock, lower_dir::Lower},
    },
    relay::{DEFAULT_CACHE_SIZE, Greeting, RelayOptions},
};
use blockd_nbd::uri::NbdUri;

/// How long it may take until it serves: it asks every server.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a relay shall do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start<'a> {
    pub(crate) options: &'a Options,
    /// Canonical name.
    pub(crate) export: &'a str,
    /// Whether it shows a file as well.
    pub(crate) fuse: bool,
    /// What the kernel and git read first: bytes at the front.
    pub(crate) front: u64,
    /// Where changed blocks go, when the export is to be written to.
    pub(crate) blocks: Option<&'a Path>,
}

/// Starts the relay of an export, by its canonical name and with or without the
/// FUSE file system, and waits until it serves.
///
/// It has the lock until then: who comes after an attach that was killed finds
/// it whole or not at all.
pub(crate) async fn start(lower: &Lower, lock: &Lock, wanted: &Start<'_>) -> Result<()> {
    let program = &wanted.options.relay_program;
    let command = program.command(&relay_options(lower, wanted)?)?;
    let log = lower.log_file();
    let log = File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
    let lent = lock.lend()?;
    let mut child = Command::from(command)
        .kill_on_drop(true)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {}", program.executable.display()))?;
    drop(lent);
    let pipe = child.stdout.take().context("the relay has no pipe")?;
    let mut line = String::new();
    let mut pipe = BufReader::new(pipe);
    let read = timeout(PATIENCE, pipe.read_line(&mut line)).await;
    read.context("the relay does not get ready")?
        .context("the relay is silent")?;
    child.wait().await?;
    match serde_json::from_str(&line) {
        Ok(Greeting::Ready) => Ok(()),
        Ok(Greeting::Failed(reason)) => bail!("{reason}"),
        Err(_) => Err(anyhow!("{}", last_words(lower)).context("the relay died")),
    }
}

fn relay_options(lower: &Lower, wanted: &Start<'_>) -> Result<RelayOptions> {
    let Start { options, fuse, .. } = *wanted;
    if fuse {
        fs::create_dir_all(lower.device())?;
    }
    let servers = options.servers().map(|uri| NbdUri {
        export: wanted.export.to_owned(),
        ..uri.clone()
    });
    Ok(RelayOptions {
        uris: servers.collect(),
        unix: lower.socket(),
        fuse: fuse.then(|| lower.device()),
        cow: wanted.blocks.map(Path::to_owned),
        status: Some(lower.status_socket()),
        cache: Some(lower.directory().to_owned()),
        cache_size: options.cache_size.unwrap_or(DEFAULT_CACHE_SIZE),
        control: Some(lower.control_socket()),
        pid_file: Some(lower.pid_file()),
        timeout: options.timeout,
        connections: options.connections,
        front: wanted.front,
    })
}

/// What a process that died without a greeting left in its log.
fn last_words(lower: &Lower) -> String {
    let log = fs::read_to_string(lower.log_file()).unwrap_or_default();
    log.lines().last().unwrap_or("it left no word").to_owned()
}
