//! Starting the relay of a lower layer.

use std::{
    fs::{self, File},
    io,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use super::relay_settings::RelaySettings;
use crate::{
    attach::state::{lock::Lock, lower_dir::LowerDir},
    relay::{DEFAULT_CACHE_SIZE, Greeting, RelayOptions},
};
use blockd_nbd::uri::NbdUri;

/// How long a relay may take until it serves: it asks every server.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// What a relay is started for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RelaySpec<'a> {
    pub(crate) settings: &'a RelaySettings,
    /// Canonical name of the export.
    pub(crate) export: &'a str,
    /// Whether it shows the disk in a FUSE file system too.
    pub(crate) fuse: bool,
    /// How many bytes at the front of the disk it reads ahead: what the kernel and
    /// git read first.
    pub(crate) front: u64,
    /// Where changed blocks are kept, if the disk is to be written to.
    pub(crate) blocks: Option<&'a Path>,
}

/// Starts the relay of an export, and waits until it serves.
///
/// The relay inherits the lock, and holds it until it serves or has failed: after
/// an attach that was killed, the next one finds a relay that serves, or none.
///
/// # Errors
///
/// When the relay cannot be started, or no server has the export.
pub(crate) async fn start(lower: &LowerDir, lock: &Lock, spec: &RelaySpec<'_>) -> Result<()> {
    let program = &spec.settings.program;
    let command = program.command(&options(lower, spec)?)?;
    let log = lower.log_file();
    let log = File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
    let inherited = lock.inheritable()?;
    let child = Command::from(command)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {}", program.executable.display()))?;
    drop(inherited);
    let mut starting = Starting(Some(child));
    let line = timeout(START_TIMEOUT, starting.greeting())
        .await
        .with_context(|| {
            let seconds = START_TIMEOUT.as_secs();
            format!(
                "the relay does not serve after {seconds} s: see {}",
                log_path(lower)
            )
        })?
        .context("cannot read the output of the relay")?;
    match serde_json::from_str(&line) {
        Ok(Greeting::Ready) => {
            starting.serves();
            Ok(())
        }
        Ok(Greeting::Failed(reason)) => bail!("{reason}"),
        Err(_) => Err(anyhow!("{}", last_log_line(lower)?).context("the relay died")),
    }
}

/// A relay that does not serve yet: killed when it is dropped.
#[derive(Debug)]
struct Starting(Option<Child>);

impl Starting {
    /// The line in which it says that it serves, or why not; empty if it dies.
    async fn greeting(&mut self) -> io::Result<String> {
        let child = self.0.as_mut().expect("it is starting");
        let output = child.stdout.take().expect("the command has a pipe");
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).await?;
        Ok(line)
    }

    /// It outlives this process.
    fn serves(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take()
            && let Err(error) = child.start_kill()
        {
            tracing::warn!("cannot end a relay that does not serve: {error}");
        }
    }
}

fn options(lower: &LowerDir, spec: &RelaySpec<'_>) -> Result<RelayOptions> {
    let settings = spec.settings;
    if spec.fuse {
        let mountpoint = lower.device();
        fs::create_dir_all(&mountpoint)
            .with_context(|| format!("cannot make {}", mountpoint.display()))?;
    }
    let servers = settings.servers().map(|uri| NbdUri {
        export: spec.export.to_owned(),
        ..uri.clone()
    });
    Ok(RelayOptions {
        uris: servers.collect(),
        token: settings.token.clone(),
        unix: lower.socket(),
        fuse: spec.fuse.then(|| lower.device()),
        cow: spec.blocks.map(Path::to_owned),
        status: Some(lower.status_socket()),
        cache: Some(lower.directory().to_owned()),
        cache_size: settings.cache_size.unwrap_or(DEFAULT_CACHE_SIZE),
        control: Some(lower.control_socket()),
        pid_file: Some(lower.pid_file()),
        timeout: settings.timeout,
        connections: settings.connections,
        front: spec.front,
    })
}

fn log_path(lower: &LowerDir) -> String {
    lower.log_file().display().to_string()
}

/// Why a relay died that could not say so.
fn last_log_line(lower: &LowerDir) -> Result<String> {
    let path = log_path(lower);
    let log = fs::read(lower.log_file()).with_context(|| format!("cannot read {path}"))?;
    let log = String::from_utf8_lossy(&log);
    let line = log.lines().last().map(str::to_owned);
    Ok(line.unwrap_or_else(|| format!("{path} is empty")))
}
