//! `blockd plugin docker`: work trees as Docker volumes, by the [volume plugin protocol].
//!
//! ```text
//! dockerd ─► server (HTTP on a unix socket) ─► driver (one at a time for each volume) ─► volume ─► attach
//!                                                                                          └► record
//! ```
//! [volume plugin protocol]: https://docs.docker.com/engine/extend/plugins_volume/

mod driver;
mod name;
mod options;
mod protocol;
mod record;
mod server;
mod volume;

use std::{
    fs::{self, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context, Result};
use blockd_nbd::server::{Listener, inherited_listeners};

use self::driver::Driver;
use crate::{
    attach::AttachOptions,
    signals::{EndSignals, HangUp},
};

/// What the plugin is to do.
#[derive(Clone, Debug)]
pub struct DockerOptions {
    /// The socket that dockerd connects to.
    pub socket: PathBuf,
    /// Where records and mountpoints of volumes are.
    pub volumes: PathBuf,
    /// How volumes are attached, unless they say otherwise. The export of its URI is
    /// empty, and its mountpoint has no meaning.
    pub attach: AttachOptions,
    /// `LISTEN_PID` and `LISTEN_FDS` of the environment (`sd_listen_fds(3)`).
    pub inherited: (Option<String>, Option<String>),
}

/// Answers dockerd until SIGTERM or SIGINT. What is mounted then stays mounted.
///
/// # Errors
///
/// When the socket cannot be bound, or the directory of the volumes cannot be made.
pub async fn serve(options: &DockerOptions) -> Result<()> {
    let mut signals = EndSignals::catch(HangUp::Default)?;
    let driver = Driver::new(&options.volumes, &options.attach)?;
    let driver = Arc::new(driver);
    let listeners = listen(options).await?;
    announce(&listeners, options).context("cannot print where the plugin listens")?;
    // dockerd waits for an answer, and not for what is taken down of a crash.
    let settling = tokio::spawn(Arc::clone(&driver).settle());
    let answering = listeners.into_iter().map(|listener| {
        let driver = Arc::clone(&driver);
        server::serve(listener, driver)
    });
    tokio::select! {
        signal = signals.received() => tracing::info!(
            "ended by {signal}: what is mounted stays, and the next plugin goes on with it"
        ),
        _ = futures_util::future::join_all(answering) => {}
    }
    settling.abort();
    Ok(())
}

/// The sockets of a service manager, else the one of the options, for root alone.
async fn listen(options: &DockerOptions) -> Result<Vec<Listener>> {
    let (pid, fds) = &options.inherited;
    let inherited = inherited_listeners(pid.as_deref(), fds.as_deref())?;
    if !inherited.is_empty() {
        return Ok(inherited);
    }
    let socket = &options.socket;
    let shown = socket.display();
    if let Some(directory) = socket.parent() {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot make the directory of {shown}"))?;
    }
    let listener = Listener::bind_unix(socket).await?;
    fs::set_permissions(socket, Permissions::from_mode(0o600))
        .with_context(|| format!("cannot make {shown} private"))?;
    Ok(vec![listener])
}

fn announce(listeners: &[Listener], options: &DockerOptions) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "volumes of {}", options.attach.relay.uri)?;
    for listener in listeners {
        writeln!(out, "  socket:  {listener}")?;
    }
    writeln!(
        out,
        "  use:     docker run --volume-driver blockd -v REPO@REV:/workspace IMAGE"
    )?;
    out.flush()
}
