//! The command line, with its twins in the environment.

use std::{env, path::PathBuf};

use anyhow::Result;
use clap::{Args, Parser, Subcommand, builder::FalseyValueParser};

pub mod attach;
pub mod hydrate;
pub mod relay;
pub(crate) mod values;

use self::{
    attach::{AttachArgs, DetachArgs, DiffArgs, DoctorArgs, ReadAheadArgs, SettleArgs, StatusArgs},
    hydrate::HydrateArgs,
    relay::RelayArgs,
    values::{absolute, default_state},
};
use crate::units;

/// Any commit of a git repository as an ext4 disk over NBD.
///
/// A server shows the repositories it has; a container attaches one commit of
/// one of them and has a complete work tree at once.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve repositories over NBD.
    Serve(Serve),
    /// Relay an export of remote servers to this host: reconnects, fails over.
    Relay(RelayArgs),
    /// Write the disk of one commit to a sparse file.
    Image(ImageFile),
    /// Plan the disk of one commit, and say what it would be.
    Info(Info),
    /// Attach an export as a work tree.
    Attach(AttachArgs),
    /// Take an attached work tree away; its changes are kept.
    Detach(DetachArgs),
    /// Bring all of an attached disk to this host: then the servers may go away.
    Hydrate(HydrateArgs),
    /// Say what is attached, through what, and how it fares.
    Status(StatusArgs),
    /// List the paths that were changed, attached or not.
    Diff(DiffArgs),
    /// Say what this host can do, what is wrong, and what mends it.
    Doctor(DoctorArgs),
    /// Read the front of a device ahead (started by attach).
    #[command(hide = true)]
    ReadAhead(ReadAheadArgs),
    /// Take a lower layer away when nobody uses it (started by detach).
    #[command(hide = true)]
    Settle(SettleArgs),
}

/// `blockd serve`
#[derive(Clone, Debug, Args)]
#[command(after_help = SERVE_HELP)]
pub struct Serve {
    /// One repository, or a directory with repositories below it.
    #[arg(long, env = "BLOCKD_REPOS", value_name = "DIR", default_value = ".")]
    pub repos: PathBuf,
    /// Listen on this address; may be given more than once. Without it, and
    /// without --unix: port 10809 of this host only.
    #[arg(
        long,
        env = "BLOCKD_LISTEN",
        value_name = "ADDR",
        value_delimiter = ','
    )]
    pub listen: Vec<String>,
    /// Listen on a unix socket.
    #[arg(long, env = "BLOCKD_UNIX", value_name = "PATH")]
    pub unix: Option<PathBuf>,
    /// Serve one connection on standard input and output, then end.
    #[arg(long, conflicts_with_all = ["listen", "unix"])]
    pub stdio: bool,
    /// Serve TCP with TLS only, as ca-cert.pem, server-cert.pem and
    /// server-key.pem in this folder have it.
    #[arg(
        long,
        env = "BLOCKD_TLS",
        value_name = "FOLDER",
        conflicts_with = "stdio"
    )]
    pub tls: Option<PathBuf>,
    /// Serve only those who show a certificate of that ca-cert.pem.
    #[arg(long, env = "BLOCKD_TLS_VERIFY_PEER", requires = "tls",
          value_parser = FalseyValueParser::new())]
    pub tls_verify_peer: bool,
    /// Keep what an image shows of a repository's history until nobody has
    /// opened that image for so many days.
    #[arg(long, env = "BLOCKD_KEEP", value_name = "DAYS", default_value_t = 30)]
    pub keep: u32,
    /// What all exports have in common.
    #[command(flatten)]
    pub store: Store,
}

impl Serve {
    /// The same with paths that hold in any directory.
    pub(crate) fn absolute(&self) -> Result<Self> {
        let store = Store {
            state: self.store.state.as_ref().map(absolute).transpose()?,
            ..self.store.clone()
        };
        Ok(Self {
            repos: absolute(&self.repos)?,
            unix: self.unix.as_ref().map(absolute).transpose()?,
            tls: self.tls.as_ref().map(absolute).transpose()?,
            store,
            ..self.clone()
        })
    }
}

const SERVE_HELP: &str = "\
An export is called REPO[@REV][:key=value]…, for example team/project@v1.2:uid=1000.
  REPO   the path below --repos, with or without .git; empty: the only one
  REV    anything git rev-parse takes that has no colon; HEAD if left out
  history=full|none  .git with the whole history, or no .git
  uid=N  gid=N       owner of every file
  free=SIZE          free space, for a client that writes to the disk itself
  path=DIR           only this directory, without .git; stands last

Sockets passed by a service manager (LISTEN_FDS) are served too.";

/// What a service manager says of the sockets it passes (`sd_listen_fds(3)`).
#[derive(Debug)]
pub(crate) struct Inherited {
    /// `LISTEN_PID`: the process they are for.
    pub(crate) pid: Option<String>,
    /// `LISTEN_FDS`: how many.
    pub(crate) fds: Option<String>,
}

impl Inherited {
    pub(crate) fn of_environment() -> Self {
        let value = |name| env::var(name).ok();
        Self {
            pid: value("LISTEN_PID"),
            fds: value("LISTEN_FDS"),
        }
    }
}

/// `blockd image`
#[derive(Debug, Args)]
pub struct ImageFile {
    /// The repository's path, a revision and options: `REPO[@REV][:key=value]…`
    #[arg(value_name = "REPO[@REV][:OPTIONS]")]
    pub export: String,
    /// The file to write.
    pub file: PathBuf,
    /// What all exports have in common.
    #[command(flatten)]
    pub store: Store,
}

/// `blockd info`
#[derive(Debug, Args)]
pub struct Info {
    /// The repository's path, a revision and options: `REPO[@REV][:key=value]…`
    #[arg(value_name = "REPO[@REV][:OPTIONS]")]
    pub export: String,
    /// Say it as JSON.
    #[arg(long)]
    pub json: bool,
    /// What all exports have in common.
    #[command(flatten)]
    pub store: Store,
}

/// Where our own state goes, and how much memory is used.
#[derive(Clone, Debug, Args)]
pub struct Store {
    /// Our own directory: snapshots of what was opened, and spooled blobs.
    #[arg(long, env = "BLOCKD_STATE", value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Memory for blobs and trees that were read.
    #[arg(long, env = "BLOCKD_CACHE", value_name = "SIZE", default_value = "512M",
          value_parser = size)]
    pub cache: usize,
}

impl Store {
    /// The state directory: what was said, else the system's place for it.
    pub fn state(&self) -> PathBuf {
        self.state.clone().unwrap_or_else(default_state)
    }
}

fn size(text: &str) -> Result<usize, String> {
    let bytes = units::parse_size(text).and_then(|bytes| usize::try_from(bytes).ok());
    bytes.ok_or_else(|| "expected a size like 256M or 2G".into())
}
