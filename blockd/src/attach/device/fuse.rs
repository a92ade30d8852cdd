//! The FUSE way to a block device: start the process, bind a loop device.

use std::{
    fs::{self, File},
    num::NonZeroUsize,
    path::Path,
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::timeout,
};

use super::process::Greeting;
use crate::{
    attach::{args::FuseDeviceArgs, place::Place},
    uri::NbdUri,
};

/// How long the process may take until its file is there.
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts the process and waits until it serves.
pub(in crate::attach) async fn start(
    program: &Path,
    place: &Place,
    uri: &NbdUri,
    connections: NonZeroUsize,
) -> Result<()> {
    let args = FuseDeviceArgs {
        uri: uri.clone(),
        mountpoint: place.device(),
        pid_file: place.pid_file(),
        connections,
        daemon: false,
    };
    let log = place.log_file();
    let log = File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
    fs::create_dir_all(place.device())?;
    let mut child = Command::new(program)
        .args(args.to_arguments())
        .current_dir("/")
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let pipe = child.stdout.take().context("the process has no pipe")?;
    let mut line = String::new();
    let mut pipe = BufReader::new(pipe);
    let read = timeout(PATIENCE, pipe.read_line(&mut line)).await;
    read.context("the FUSE process does not get ready")?
        .context("the FUSE process is silent")?;
    child.wait().await?;
    match serde_json::from_str(&line) {
        Ok(Greeting::Ready) => Ok(()),
        Ok(Greeting::Failed(reason)) => bail!("{reason}"),
        Err(_) => Err(anyhow!("{}", last_words(place)).context("the FUSE process died")),
    }
}

/// What a process that died without a greeting left in its log.
fn last_words(place: &Place) -> String {
    let log = fs::read_to_string(place.log_file()).unwrap_or_default();
    log.lines().last().unwrap_or("it left no word").to_owned()
}
