//! The background process behind a FUSE disk: `blockd fuse-device`.
//!
//! ```text
//! attach ─exec─► fuse-device ─setsid, exec─► fuse-device --daemon: serves
//!    ▲              └ exits: the server's parent is init       │
//!    └──────────────── one line on a pipe: ready, or why not ◄─┘
//! ```
//! It ends when its file system is unmounted, and only then: signals that a
//! terminal or a shutdown sends to everybody would take the disk away from
//! under those who still use it.

use std::{
    fs,
    io::{self, Write},
    num::NonZeroUsize,
    os::fd::{BorrowedFd, RawFd},
    path::Path,
    process::Command,
    sync::Arc,
};

use anyhow::{Context, Result};
use fuser::{Config, MountOption, Session};
use rustix::{
    io::{Errno, FdFlags, fcntl_setfd},
    process::{getpid, setsid},
};
use serde::{Deserialize, Serialize};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
};

use super::{disk::Disk, identity::Identity};
use crate::{
    attach::{
        args::{FuseDeviceArgs, running_program},
        mounts::Mounts,
    },
    nbd::client::Client,
};

/// How far the kernel reads ahead in the file: one FUSE request is at most
/// 1 MiB.
const READ_AHEAD_KB: &str = "1024";

/// The one line that the process writes to its parent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Greeting {
    /// The file is there.
    Ready,
    /// It will not be.
    Failed(String),
}

/// Serves an export as a file until it is unmounted: the hidden subcommand
/// `fuse-device`. Must be called before anything starts a thread.
pub fn fuse_device(args: &FuseDeviceArgs) -> Result<()> {
    if !args.daemon {
        return detach_from_parent(args);
    }
    let started = start(args);
    let greeting = match &started {
        Ok(_) => Greeting::Ready,
        Err(error) => Greeting::Failed(format!("{error:#}")),
    };
    // A parent that is gone wants no disk: then the session is dropped, which
    // unmounts it.
    greet(&greeting).context("attach is gone")?;
    let (session, runtime) = started?;
    let served = session.run();
    runtime.shutdown_background();
    let _removed = fs::remove_file(&args.pid_file);
    served.context("the FUSE session ended")
}

fn greet(greeting: &Greeting) -> io::Result<()> {
    let mut line = serde_json::to_vec(greeting)?;
    line.push(b'\n');
    let mut pipe = io::stdout().lock();
    pipe.write_all(&line)?;
    pipe.flush()
}

/// Leaves the terminal, starts the real server, and lets init have it.
fn detach_from_parent(args: &FuseDeviceArgs) -> Result<()> {
    setsid().context("cannot leave the session")?;
    inherit_nothing().context("cannot close the caller's files")?;
    let daemon = FuseDeviceArgs {
        daemon: true,
        ..args.clone()
    };
    let server = Command::new(running_program()?)
        .args(daemon.to_arguments())
        .current_dir("/")
        .spawn();
    drop(server.context("cannot start the FUSE process")?);
    Ok(())
}

/// A file that a shell left open to us (a lock, a pipe) would stay open for as
/// long as the disk lives.
fn inherit_nothing() -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/fd")?.flatten() {
        let number = entry
            .file_name()
            .to_str()
            .and_then(|number| number.parse().ok());
        let Some(number) = number.filter(|number: &RawFd| *number > 2) else {
            continue;
        };
        // SAFETY: the descriptor was open a moment ago; were it closed since,
        // the call would fail with EBADF and do nothing.
        #[expect(unsafe_code, reason = "descriptors of others have no safe handle")]
        let file = unsafe { BorrowedFd::borrow_raw(number) };
        match fcntl_setfd(file, FdFlags::CLOEXEC) {
            Ok(()) | Err(Errno::BADF) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn start(args: &FuseDeviceArgs) -> Result<(Session<Disk>, Runtime)> {
    Identity::of(getpid())?.write(&args.pid_file)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async { stay() })?;
    let client = runtime.block_on(Client::open(&args.uri.address, &args.uri.export))?;
    let client = Arc::new(client);
    let disk = Disk::new(Arc::clone(&client), runtime.handle().clone());
    let session = mount(disk, &args.mountpoint)?;
    drop(runtime.spawn(widen(client, args.connections)));
    raise_read_ahead(&args.mountpoint);
    Ok((session, runtime))
}

/// The first connection is enough to begin with: the others are opened while
/// the disk is being mounted.
async fn widen(client: Arc<Client>, connections: NonZeroUsize) {
    if let Err(error) = client.widen(connections).await {
        tracing::warn!("the disk has {} connections: {error}", client.alive());
    }
}

/// Takes the default action from the signals that end whole groups of
/// processes, and asks the kernel to spare us when memory is short.
fn stay() -> io::Result<()> {
    for kind in [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
    ] {
        drop(signal(kind)?);
    }
    // Not everybody may.
    let _spared = fs::write("/proc/self/oom_score_adj", "-900");
    Ok(())
}

fn mount(disk: Disk, mountpoint: &Path) -> Result<Session<Disk>> {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName("blockd".to_owned()),
        MountOption::Subtype("blockd".to_owned()),
        MountOption::RO,
        MountOption::NoExec,
        MountOption::NoAtime,
        MountOption::DefaultPermissions,
    ];
    Session::new(disk, mountpoint, &config).with_context(|| {
        format!(
            "cannot mount the FUSE file system at {}",
            mountpoint.display()
        )
    })
}

/// FUSE's own limit stays at 128 KiB unless it is raised here. The device's
/// number is looked up in the table of mounts: to ask the file system itself
/// would be to wait for our own answer.
fn raise_read_ahead(mountpoint: &Path) {
    let raised = Mounts::read().and_then(|mounts| {
        let mount = mounts.at(mountpoint).ok_or(io::ErrorKind::NotFound)?;
        fs::write(
            format!("/sys/class/bdi/{}/read_ahead_kb", mount.device),
            READ_AHEAD_KB,
        )
    });
    if let Err(error) = raised {
        tracing::debug!("read_ahead_kb of the FUSE file system stays as it is: {error}");
    }
}
