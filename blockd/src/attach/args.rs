//! The command lines of `attach`, `detach`, and the hidden `fuse-device` and
//! `read-ahead`; the only file here that looks at the environment.

use std::{env, ffi::OsString, num::NonZeroUsize, path::PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use rustix::process::{getegid, geteuid};

use super::{DetachOptions, Options, Via};
use crate::{args::default_state, uri::NbdUri};

/// Attach an export as a work tree.
#[derive(Args, Clone, Debug)]
pub struct AttachArgs {
    /// The export's NBD URI
    #[arg(help = "nbd://HOST[:PORT]/REPO[@REV][:KEY=VALUE]… or nbd+unix:///REPO…?socket=PATH")]
    pub uri: NbdUri,

    /// An empty directory
    pub mountpoint: PathBuf,

    /// Show the export as it is, without a place for changes
    #[arg(long, env = "BLOCKD_READ_ONLY")]
    pub read_only: bool,

    /// The way into the kernel [default: nbd where the kernel has it, else fuse]
    #[arg(long, env = "BLOCKD_VIA")]
    pub via: Option<Via>,

    /// Owner of the files [default: who calls, also through sudo]
    #[arg(long, env = "BLOCKD_UID")]
    pub uid: Option<u32>,

    /// Group of the files [default: the caller's]
    #[arg(long, env = "BLOCKD_GID")]
    pub gid: Option<u32>,

    /// Connections to the server
    #[arg(long, env = "BLOCKD_CONNECTIONS", default_value = "4")]
    pub connections: NonZeroUsize,

    /// Print what was attached as JSON
    #[arg(long)]
    pub json: bool,

    /// Where it is kept what is attached, and what is changed
    #[command(flatten)]
    pub state: StateArgs,
}

/// Detach a work tree.
#[derive(Args, Clone, Debug)]
pub struct DetachArgs {
    /// Where it is attached
    pub mountpoint: PathBuf,

    /// Let processes that are still inside go on; the device goes with the last
    #[arg(long)]
    pub lazy: bool,

    /// Throw the changes away
    #[arg(long)]
    pub discard: bool,

    /// Print what was detached as JSON
    #[arg(long)]
    pub json: bool,

    /// Where it is kept what is attached, and what is changed
    #[command(flatten)]
    pub state: StateArgs,
}

/// The state directory.
#[derive(Args, Clone, Debug)]
pub struct StateArgs {
    /// Where attachments and changes are kept
    /// [default: /var/lib/blockd/attach, or blockd/attach in `XDG_STATE_HOME`]
    #[arg(long = "state", value_name = "DIR", env = "BLOCKD_ATTACH_STATE")]
    pub directory: Option<PathBuf>,
}

/// Serve an export as a file (started by attach).
#[derive(Args, Clone, Debug)]
pub struct FuseDeviceArgs {
    /// The export, by its canonical name
    pub uri: NbdUri,

    /// Where the file system with the one file goes
    pub mountpoint: PathBuf,

    /// Written when the process begins
    #[arg(long)]
    pub pid_file: PathBuf,

    /// Connections to the server
    #[arg(long)]
    pub connections: NonZeroUsize,

    /// This is the process that serves
    #[arg(long)]
    pub daemon: bool,
}

/// Read the front of a mounted device ahead (started by attach).
#[derive(Args, Clone, Debug)]
pub struct ReadAheadArgs {
    /// The block device
    pub device: PathBuf,

    /// How much of it
    pub bytes: u64,
}

/// This program, to start it once more.
pub(super) fn running_program() -> Result<PathBuf> {
    env::current_exe().context("cannot find the running program")
}

impl AttachArgs {
    /// What was typed, and what the environment adds.
    pub fn options(&self) -> Result<Options> {
        let asking = |variable: &str| env::var(variable).ok().and_then(|id| id.parse().ok());
        let root = geteuid().is_root();
        let caller = |variable, own| {
            if root {
                asking(variable).unwrap_or(own)
            } else {
                own
            }
        };
        Ok(Options {
            uri: self.uri.clone(),
            mountpoint: self.mountpoint.clone(),
            read_only: self.read_only,
            via: self.via,
            state: self.state.path()?,
            uid: self
                .uid
                .unwrap_or_else(|| caller("SUDO_UID", geteuid().as_raw())),
            gid: self
                .gid
                .unwrap_or_else(|| caller("SUDO_GID", getegid().as_raw())),
            connections: self.connections,
            program: running_program()?,
        })
    }
}

impl DetachArgs {
    /// What was typed, and what the environment adds.
    pub fn options(&self) -> Result<DetachOptions> {
        Ok(DetachOptions {
            mountpoint: self.mountpoint.clone(),
            state: self.state.path()?,
            lazy: self.lazy,
            discard: self.discard,
        })
    }
}

impl StateArgs {
    fn path(&self) -> Result<PathBuf> {
        if let Some(directory) = &self.directory {
            return std::path::absolute(directory).context("cannot find the state directory");
        }
        Ok(default_state().join("attach"))
    }
}

impl FuseDeviceArgs {
    /// The command line that these came from.
    pub(super) fn to_arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["fuse-device".into()];
        arguments.extend(["--pid-file".into(), self.pid_file.clone().into()]);
        arguments.extend(["--connections".into(), self.connections.to_string().into()]);
        if self.daemon {
            arguments.push("--daemon".into());
        }
        arguments.extend([
            "--".into(),
            self.uri.to_string().into(),
            self.mountpoint.clone().into(),
        ]);
        arguments
    }
}
