//! Starting the relay of a lower layer.

use std::{
    ffi::OsString,
    fs::{self, File},
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

use crate::{
    attach::{
        layers::upstreams::Upstreams,
        state::{lock::Lock, lower_dir::LowerDir},
    },
    relay::Greeting,
};
use blockd_nbd::uri::NbdUri;

/// How long it may take until it serves: it asks every server.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a relay shall do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start<'a> {
    pub(crate) options: &'a Upstreams,
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
pub(crate) async fn start(lower: &LowerDir, lock: &Lock, wanted: &Start<'_>) -> Result<()> {
    let options = wanted.options;
    let log = lower.log_file();
    let log = File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
    let lent = lock.inheritable()?;
    let mut child = Command::new(&options.program)
        .args(arguments(lower, wanted)?)
        .current_dir("/")
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {}", options.program.display()))?;
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

fn arguments(lower: &LowerDir, wanted: &Start<'_>) -> Result<Vec<OsString>> {
    let Start {
        options,
        export,
        fuse,
        front,
        blocks,
    } = *wanted;
    let mut arguments: Vec<OsString> = vec!["relay".into(), "--daemon".into()];
    let mut paths = vec![
        ("--unix", lower.socket()),
        ("--status", lower.status_socket()),
        ("--control", lower.control_socket()),
        ("--cache", lower.directory().to_owned()),
        ("--pid-file", lower.pid_file()),
    ];
    if fuse {
        fs::create_dir_all(lower.device())?;
        paths.push(("--fuse", lower.device()));
    }
    paths.extend(blocks.map(|blocks| ("--cow", blocks.to_owned())));
    for (option, path) in paths {
        arguments.extend([option.into(), path.into()]);
    }
    let timeout = format!("{}ms", options.timeout.as_millis());
    arguments.extend(["--timeout".into(), timeout.into()]);
    arguments.extend([
        "--connections".into(),
        options.connections.to_string().into(),
    ]);
    arguments.extend(["--front".into(), front.to_string().into()]);
    arguments.push("--".into());
    for uri in options.servers() {
        let uri = NbdUri {
            export: export.to_owned(),
            ..uri.clone()
        };
        arguments.push(uri.to_string().into());
    }
    Ok(arguments)
}

/// What a process that died without a greeting left in its log.
fn last_words(lower: &LowerDir) -> String {
    let log = fs::read_to_string(lower.log_file()).unwrap_or_default();
    log.lines().last().unwrap_or("it left no word").to_owned()
}
