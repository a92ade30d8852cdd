//! The command line, and the variables of the environment that stand for its
//! options: one file a command. Each makes the options of what it runs, so
//! that nothing else reads the environment.

use clap::{Parser, Subcommand};

pub mod attach;
pub mod hydrate;
pub mod image;
pub mod info;
pub mod relay;
pub mod serve;
pub(crate) mod values;

use self::{
    attach::{
        AttachArgs, DetachArgs, DiffArgs, DoctorArgs, ProfileArgs, ReadAheadArgs, SettleArgs,
        StatusArgs, WarmArgs,
    },
    hydrate::HydrateArgs,
    image::ImageArgs,
    info::InfoArgs,
    relay::{RelayArgs, RelayDaemonArgs},
    serve::ServeArgs,
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
    /// Attach an export as a work tree.
    Attach(AttachArgs),
    /// Detach a work tree; its changes are retained.
    Detach(DetachArgs),
    /// Copy all data of an attached disk to this host: then no server is needed.
    Hydrate(HydrateArgs),
    /// List what is attached, with the state of its device and servers.
    Status(StatusArgs),
    /// List the changed paths of a work tree, attached or not.
    Diff(DiffArgs),
    /// Check what this host supports, what is wrong, and how to fix it.
    Doctor(DoctorArgs),
    /// Record what sessions read first: who attaches next finds it read.
    Profile(ProfileArgs),
    /// Have the kernel read what a profile lists (started by attach).
    #[command(hide = true)]
    Warm(WarmArgs),
    /// Read the front of a device ahead (started by attach).
    #[command(hide = true)]
    ReadAhead(ReadAheadArgs),
    /// Remove a lower layer when nobody uses it (started by detach).
    #[command(hide = true)]
    Settle(SettleArgs),
}
