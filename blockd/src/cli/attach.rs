//! The command line of `attach`.

use std::{
    env::{self, VarError},
    iter,
    num::NonZeroUsize,
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::{
    ArgAction, Args, ValueEnum,
    builder::{BoolishValueParser, FalseyValueParser},
};
use rustix::process::{getegid, geteuid};

use super::{
    relay::relay_program,
    state::StateArgs,
    token_file::TokenFileArgs,
    values::{check_tls, running_program, size, time, uri},
};
use crate::{
    attach::{self, AttachOptions, AttachReport, RelaySettings, UpperKind, Via},
    local_server::LocalServer,
};
use blockd_nbd::uri::NbdUri;

/// Attach an export as a work tree.
#[derive(Args, Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct AttachArgs {
    /// The NBD URI of the export, or a repository on this host, whose server is started,
    /// and ends after the last detach
    #[arg(value_name = "URI|REPO")]
    #[arg(
        help = "nbd://HOST[:PORT]/REPO[@REV][:KEY=VALUE]…, nbd+unix:///REPO…?socket=PATH, or \
                  a directory of this host: ./REPO[@REV][:KEY=VALUE]…"
    )]
    #[arg(value_parser = source)]
    pub source: Source,

    /// The directory to attach at, which must be empty; made if it is not there, and
    /// then removed by detach
    pub mountpoint: PathBuf,

    /// Another server that has the same export. It is read from when the first is
    /// unreachable or slow
    #[arg(long, env = "BLOCKD_ALSO", value_name = "URI", value_delimiter = ' ')]
    #[arg(value_parser = uri)]
    #[arg(help = "Another server that has the export: nbd://HOST[:PORT]/; may be repeated")]
    pub also: Vec<NbdUri>,

    /// The token that the servers ask for.
    #[command(flatten)]
    pub token: TokenFileArgs,

    /// Let servers without TLS (nbd://) stand in for servers with it (nbds://)
    #[arg(long, env = "BLOCKD_ALLOW_CLEAR", value_parser = FalseyValueParser::new())]
    pub allow_clear: bool,

    /// How long a read waits for a server before it fails
    #[arg(
        long,
        env = "BLOCKD_TIMEOUT",
        value_name = "TIME",
        default_value = "30s"
    )]
    #[arg(value_parser = time)]
    pub timeout: Duration,

    /// Mount the export read-only
    #[arg(long, env = "BLOCKD_READ_ONLY", value_parser = FalseyValueParser::new())]
    pub read_only: bool,

    /// Where changes are kept: state, tmpfs or tmpfs:SIZE [default: state]
    ///
    /// In the state directory, changes survive a reboot. On a tmpfs they are kept in
    /// memory until they are discarded or the machine reboots.
    #[arg(long, env = "BLOCKD_UPPER", conflicts_with = "read_only")]
    pub upper: Option<UpperKind>,

    /// How changes are kept: as files of an overlay, or as blocks of the disk
    /// [default: overlay]
    ///
    /// With block, the attachment has a relay and a disk of its own, which is
    /// mounted for writing. Its free space is that of the export name (:free=SIZE),
    /// else 8 GiB; free space takes no storage before it is used.
    #[arg(long, env = "BLOCKD_COW", conflicts_with_all = ["read_only", "upper"])]
    pub cow: Option<Cow>,

    /// Sync nothing: quicker, and for a tree that may be lost
    ///
    /// Neither an fsync nor the copy that the overlay makes of a file when it is first
    /// opened for writing waits for the disk. A detach writes
    /// everything, and changes are kept as always. When the machine goes down before
    /// that, changes may be missing or torn, and the next attach refuses them.
    #[arg(long, env = "BLOCKD_VOLATILE", value_parser = FalseyValueParser::new())]
    pub volatile: bool,

    /// Go on with changes that were made with --volatile before the machine went
    /// down: what was not written by then is missing, old or torn
    #[arg(long)]
    pub accept_loss: bool,

    /// Mount whatever ext4 the server sends
    ///
    /// Without it, only disks with the superblock of an image that blockd makes are
    /// mounted: the kernel trusts what it mounts.
    #[arg(long, env = "BLOCKD_ANY_EXT4", value_parser = FalseyValueParser::new())]
    pub any_ext4: bool,

    /// The kind of block device [default: nbd if the kernel has it, else fuse]
    #[arg(long, env = "BLOCKD_VIA")]
    pub via: Option<ViaArg>,

    /// Whether `git status` asks blockd what has changed: it then looks at no other
    /// file, not even the first time. Off by default: with git 2.39 `git lfs status`
    /// then lists files that are not changed. Without effect with --cow block
    #[arg(
        long,
        env = "BLOCKD_FSMONITOR",
        value_name = "on|off",
        default_value = "off"
    )]
    #[arg(value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    #[arg(action = ArgAction::Set)]
    pub fsmonitor: bool,

    /// Owner of the files [default: the calling user, also through sudo]
    #[arg(long, env = "BLOCKD_UID")]
    pub uid: Option<u32>,

    /// Group of the files [default: the group of the calling user]
    #[arg(long, env = "BLOCKD_GID")]
    pub gid: Option<u32>,

    /// Connections to each server
    #[arg(long, env = "BLOCKD_CONNECTIONS", default_value = "4")]
    pub connections: NonZeroUsize,

    /// Copy the whole disk to this host, in the background. When that is done, no
    /// server is needed any more. `blockd hydrate` shows the progress
    #[arg(long, env = "BLOCKD_HYDRATE", value_parser = FalseyValueParser::new())]
    pub hydrate: bool,

    /// The most bytes that --hydrate may store [default: 4G]
    #[arg(long, env = "BLOCKD_CACHE_SIZE", value_name = "SIZE", value_parser = size)]
    pub cache_size: Option<u64>,

    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,

    /// The state directory
    #[command(flatten)]
    pub state: StateArgs,
}

/// What is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// An export of a server.
    Uri(NbdUri),
    /// A repository on this host: `PATH[@REV][:key=value]…`.
    Local(String),
}

fn source(text: &str) -> Result<Source, String> {
    if text.contains("://") {
        return uri(text).map(Source::Uri);
    }
    Ok(Source::Local(text.to_owned()))
}

/// How changes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Cow {
    /// As files, in the upper layer of an overlay
    Overlay,
    /// As blocks of 4 KiB
    Block,
}

/// The kind of block device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ViaArg {
    /// The kernel's NBD client, set up by nbd-client
    Nbd,
    /// A FUSE file system with one file, and a loop device
    Fuse,
}

impl From<ViaArg> for Via {
    fn from(via: ViaArg) -> Self {
        match via {
            ViaArg::Nbd => Self::Nbd,
            ViaArg::Fuse => Self::Fuse,
        }
    }
}

impl AttachArgs {
    /// The options of attach, completed from the environment.
    ///
    /// # Errors
    ///
    /// When `SUDO_UID` or `SUDO_GID` is not a number, a path cannot be found, or servers
    /// without TLS would stand in for servers with it.
    pub fn options(&self) -> Result<AttachOptions> {
        let (uri, _) = self.uri()?;
        check_tls(iter::once(&uri).chain(&self.also), self.allow_clear)?;
        let (mut uris, token) = self.token.taken_from(iter::once(&uri).chain(&self.also))?;
        let also = uris.split_off(1);
        let uri = uris.remove(0);
        Ok(AttachOptions {
            relay: RelaySettings {
                uri,
                also,
                token,
                timeout: self.timeout,
                connections: self.connections,
                cache_size: self.cache_size,
                program: relay_program()?,
            },
            mountpoint: self.mountpoint.clone(),
            read_only: self.read_only,
            upper: self.upper()?,
            accept_loss: self.accept_loss,
            any_ext4: self.any_ext4,
            fsmonitor: self.fsmonitor,
            via: self.via.map(Via::from),
            state: self.state.path()?,
            uid: owner(self.uid, "SUDO_UID", geteuid().as_raw())?,
            gid: owner(self.gid, "SUDO_GID", getegid().as_raw())?,
            hydrate: self.hydrate,
            program: running_program()?,
        })
    }
}

impl AttachArgs {
    /// Attaches, from a server of its own where the export is a repository on this host.
    ///
    /// # Errors
    ///
    /// As [`attach::attach`], and when the server cannot be started.
    pub fn attach(&self, options: &AttachOptions) -> Result<AttachReport> {
        let server = self.uri()?.1;
        let _in_use = server.map(|server| server.start()).transpose()?;
        attach::attach(options)
    }

    /// What is attached, and the server of a repository on this host.
    fn uri(&self) -> Result<(NbdUri, Option<LocalServer>)> {
        match &self.source {
            Source::Uri(uri) => Ok((uri.clone(), None)),
            Source::Local(name) => {
                if let Some(server) = self.also.first() {
                    bail!("{name} is on this host, and {server} does not stand in for it");
                }
                let server = LocalServer::of(name, &self.state.path()?, relay_program()?)?;
                Ok((server.uri(), Some(server)))
            }
        }
    }

    /// Where changes are to be kept, if that was said.
    fn upper(&self) -> Result<Option<UpperKind>> {
        let upper = match self.cow {
            Some(Cow::Block) => Some(UpperKind::Block),
            Some(Cow::Overlay) | None => self.upper,
        };
        if !self.volatile {
            return Ok(upper);
        }
        let reason = match upper {
            _ if self.read_only => "with --read-only nothing is written that could be synced",
            None | Some(UpperKind::State | UpperKind::Volatile) => {
                return Ok(Some(UpperKind::Volatile));
            }
            Some(UpperKind::Tmpfs { .. }) => "on a tmpfs nothing is synced anyhow",
            Some(UpperKind::Block) => {
                "with --cow block nothing is copied up, and only what a program syncs is synced"
            }
        };
        bail!("--volatile is for an overlay in the state directory: leave it out, {reason}")
    }
}

/// The id that was given, else that of the user who called sudo(8), else `own`.
fn owner(given: Option<u32>, variable: &str, own: u32) -> Result<u32> {
    if let Some(id) = given {
        return Ok(id);
    }
    if !geteuid().is_root() {
        return Ok(own);
    }
    match env::var(variable) {
        Ok(id) => id
            .parse()
            .with_context(|| format!("{variable}={id}: expected a number")),
        Err(VarError::NotPresent) => Ok(own),
        Err(error) => Err(error).with_context(|| format!("cannot read {variable}")),
    }
}
