//! The command line, and the variables of the environment that stand for its
//! options: one file a command. Each makes the options of what it runs, so
//! that nothing else reads the environment.

use clap::{Parser, Subcommand};

use crate::log::{LogFormat, LogLimit};

pub mod attach;
pub mod background;
pub mod detach;
pub mod diff;
pub mod doctor;
pub mod forget;
pub mod fsmonitor;
pub mod hydrate;
pub mod image;
pub mod info;
pub mod log;
pub mod mount_helper;
pub mod plugin;
pub mod relay;
pub mod serve;
pub mod state;
pub mod status;
pub mod token;
pub mod token_file;
pub(crate) mod values;

use self::{
    attach::AttachArgs,
    background::{PrefetchArgs, ReapArgs},
    detach::DetachArgs,
    diff::DiffArgs,
    doctor::DoctorArgs,
    forget::ForgetArgs,
    fsmonitor::FsmonitorArgs,
    hydrate::HydrateArgs,
    image::ImageArgs,
    info::InfoArgs,
    plugin::{Engine, PluginArgs},
    relay::{RelayArgs, RelayDaemonArgs},
    serve::ServeArgs,
    status::StatusArgs,
    token::{CheckConfigArgs, TokenArgs},
};

/// Any commit of a git repository as an ext4 disk over NBD.
///
/// A server exports the repositories that it has; a container attaches one
/// commit of one of them, and has a complete work tree at once.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Command {
    /// What the log looks like, and how much of it there may be: others can make
    /// those that serve write as much as they like.
    pub fn log(&self) -> (LogFormat, LogLimit) {
        let log = match self {
            Self::Serve(args) => &args.log,
            Self::Relay(args) => &args.log,
            Self::RelayDaemon(args) => &args.log,
            Self::Plugin(args) => {
                let Engine::Docker(docker) = &args.engine;
                return (docker.log.format(), LogLimit::None);
            }
            _ => return (LogFormat::Text, LogLimit::None),
        };
        (log.format(), LogLimit::EachPeer)
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve repositories over NBD.
    Serve(ServeArgs),
    /// Relay an export of remote servers to this host: reconnects, fails over.
    Relay(RelayArgs),
    /// Relay in the background, with the options on standard input (started by
    /// attach, and by relay --daemon).
    #[command(hide = true)]
    RelayDaemon(RelayDaemonArgs),
    /// Write the disk of one commit to a sparse file.
    Image(ImageArgs),
    /// Plan the disk of one commit, and describe it.
    Info(InfoArgs),
    /// Remove kept snapshots that hold what was purged from a repository.
    Forget(ForgetArgs),
    /// Make tokens, which permit what an access file does not.
    Token(TokenArgs),
    /// Check an access file.
    CheckConfig(CheckConfigArgs),
    /// Attach an export as a work tree.
    Attach(AttachArgs),
    /// Detach a work tree; its changes are kept.
    Detach(DetachArgs),
    /// Attach exports for containers, which need no privileges for it.
    Plugin(PluginArgs),
    /// Copy the whole disk of an attachment to this host; then no server is needed.
    Hydrate(HydrateArgs),
    /// Show what is attached, through what, and whether it works.
    Status(StatusArgs),
    /// List the changed paths of a work tree, attached or not.
    Diff(DiffArgs),
    /// Check whether attach can work on this host, and print how to fix what is missing.
    Doctor(DoctorArgs),
    /// Tell git which files of an attached work tree to look at (git's hook, set up by attach).
    Fsmonitor(FsmonitorArgs),
    /// Have the kernel read the front of a device (started by attach).
    #[command(hide = true)]
    Prefetch(PrefetchArgs),
    /// Remove a lower layer when its device is not in use any more (started by detach).
    #[command(hide = true)]
    Reap(ReapArgs),
}
