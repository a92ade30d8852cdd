//! The command lines of `attach`, `detach`, `status`, `diff` and `doctor`, and the
//! hidden `settle` and `read-ahead`; the only file here that looks at the
//! environment.

use std::{env, num::NonZeroUsize, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum, builder::FalseyValueParser};
use rustix::process::{getegid, geteuid};

use super::values::{default_state, running_program, size, time};
use crate::attach::{
    ChangesOptions, DetachOptions, DoctorOptions, Options, StatusOptions, Upper, Via,
};
use blockd_nbd::uri::NbdUri;

/// Attach an export as a work tree.
#[derive(Args, Clone, Debug)]
pub struct AttachArgs {
    /// The export's NBD URI
    #[arg(help = "nbd://HOST[:PORT]/REPO[@REV][:KEY=VALUE]… or nbd+unix:///REPO…?socket=PATH")]
    pub uri: NbdUri,

    /// An empty directory
    pub mountpoint: PathBuf,

    /// Another server with the same export; may be given more than once. When
    /// one is gone or slow, the others are read from
    #[arg(long, env = "BLOCKD_ALSO", value_name = "URI", value_delimiter = ' ')]
    #[arg(help = "Another server that has the export: nbd://HOST[:PORT]/; may be given again")]
    pub also: Vec<NbdUri>,

    /// How long a read waits for a server before it fails
    #[arg(
        long,
        env = "BLOCKD_TIMEOUT",
        value_name = "TIME",
        default_value = "30s"
    )]
    #[arg(value_parser = time)]
    pub timeout: Duration,

    /// Show the export as it is, without a place for changes
    #[arg(long, env = "BLOCKD_READ_ONLY", value_parser = FalseyValueParser::new())]
    pub read_only: bool,

    /// Where changes are kept: state, tmpfs or tmpfs:SIZE [default: state]
    ///
    /// In the state directory they outlive a reboot. In memory they are kept
    /// until they are discarded or the machine is started anew.
    #[arg(long, env = "BLOCKD_UPPER", conflicts_with = "read_only")]
    pub upper: Option<Upper>,

    /// What keeps changes: an overlay, or changed blocks of a disk that is
    /// written to [default: overlay]
    ///
    /// By blocks the attachment has a relay and a disk for itself, with the
    /// free space that the name asks for (:free=SIZE), else 8 GiB of it;
    /// nothing of that is stored before it is used.
    #[arg(long, env = "BLOCKD_COW", conflicts_with_all = ["read_only", "upper"])]
    pub cow: Option<Cow>,

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

    /// Bring all of the disk to this host, in the background: when that is
    /// done the servers may go away. `blockd hydrate` says how far it is
    #[arg(long, env = "BLOCKD_HYDRATE", value_parser = FalseyValueParser::new())]
    pub hydrate: bool,

    /// The most that --hydrate may store [default: 4G]
    #[arg(long, env = "BLOCKD_CACHE_SIZE", value_name = "SIZE", value_parser = size)]
    pub cache_size: Option<u64>,

    /// Print what was attached as JSON
    #[arg(long)]
    pub json: bool,

    /// Where it is kept what is attached, and what is changed
    #[command(flatten)]
    pub state: StateArgs,
}

/// How changes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Cow {
    /// Whole files, in an overlay.
    Overlay,
    /// Blocks of 4 KiB.
    Block,
}

/// Detach a work tree.
#[derive(Args, Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct DetachArgs {
    /// Where it is attached
    pub mountpoint: PathBuf,

    /// Let processes that are still inside go on: they keep a tree that is
    /// mounted nowhere, and the device goes with the last of them
    #[arg(long)]
    pub lazy: bool,

    /// End processes that are still inside: SIGTERM, after 2 s SIGKILL
    #[arg(long, conflicts_with = "lazy")]
    pub force: bool,

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

/// Say what is attached, through what, and how it fares.
#[derive(Args, Clone, Debug)]
pub struct StatusArgs {
    /// Only what is attached here
    pub mountpoint: Option<PathBuf>,

    /// Say it as JSON
    #[arg(long)]
    pub json: bool,

    /// Where it is kept what is attached, and what is changed
    #[command(flatten)]
    pub state: StateArgs,
}

/// List the paths that were changed, attached or not.
#[derive(Args, Clone, Debug)]
#[command(after_help = DIFF_HELP)]
pub struct DiffArgs {
    /// Where it is, or was, attached
    pub mountpoint: PathBuf,

    /// Say it as JSON
    #[arg(long)]
    pub json: bool,

    /// Where it is kept what is attached, and what is changed
    #[command(flatten)]
    pub state: StateArgs,
}

const DIFF_HELP: &str = "\
  A PATH          is new
  M PATH          is another
  D PATH          is gone, and all below it
  R FROM -> PATH  has another name

All of the work tree counts, .git too. While nothing of the export is attached,
a file that was written anew under its old name counts as new.";

/// Say what this host can do, what is wrong, and what mends it.
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// Say it as JSON
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

/// Take a lower layer away when nobody uses it any more (started by detach).
#[derive(Args, Clone, Debug)]
pub struct SettleArgs {
    /// The state directory
    pub state: PathBuf,

    /// The lower layer's directory in it
    pub key: String,
}

/// Read the front of a mounted device ahead (started by attach).
#[derive(Args, Clone, Debug)]
pub struct ReadAheadArgs {
    /// The block device
    pub device: PathBuf,

    /// How much of it
    pub bytes: u64,
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
            also: self.also.clone(),
            timeout: self.timeout,
            mountpoint: self.mountpoint.clone(),
            read_only: self.read_only,
            upper: match self.cow {
                Some(Cow::Block) => Some(Upper::Block),
                Some(Cow::Overlay) | None => self.upper,
            },
            via: self.via,
            state: self.state.path()?,
            uid: self
                .uid
                .unwrap_or_else(|| caller("SUDO_UID", geteuid().as_raw())),
            gid: self
                .gid
                .unwrap_or_else(|| caller("SUDO_GID", getegid().as_raw())),
            connections: self.connections,
            hydrate: self.hydrate,
            cache_size: self.cache_size,
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
            force: self.force,
            discard: self.discard,
            program: running_program()?,
        })
    }
}

impl StatusArgs {
    /// What was typed, and what the environment adds.
    pub fn options(&self) -> Result<StatusOptions> {
        Ok(StatusOptions {
            mountpoint: self.mountpoint.clone(),
            state: self.state.path()?,
        })
    }
}

impl DiffArgs {
    /// What was typed, and what the environment adds.
    pub fn options(&self) -> Result<ChangesOptions> {
        Ok(ChangesOptions {
            mountpoint: self.mountpoint.clone(),
            state: self.state.path()?,
        })
    }
}

impl DoctorArgs {
    /// What was typed, and what the environment adds.
    pub fn options(&self) -> Result<DoctorOptions> {
        Ok(DoctorOptions {
            state: self.state.path()?,
        })
    }
}

impl StateArgs {
    pub(super) fn path(&self) -> Result<PathBuf> {
        if let Some(directory) = &self.directory {
            return std::path::absolute(directory).context("cannot find the state directory");
        }
        Ok(default_state().join("attach"))
    }
}
