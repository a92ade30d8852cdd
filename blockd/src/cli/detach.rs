//! The command line of `detach`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::{state::StateArgs, values::running_program};
use crate::attach::{DetachMode, DetachOptions};

/// Detach a work tree.
#[derive(Args, Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct DetachArgs {
    /// Where it is attached
    pub mountpoint: PathBuf,

    /// Detach even if processes use the work tree. They go on in a tree that is not
    /// mounted any more, and the device is removed after the last of them
    #[arg(long)]
    pub lazy: bool,

    /// Kill the processes that use the work tree: SIGTERM, after 2 seconds SIGKILL
    #[arg(long, conflicts_with = "lazy")]
    pub force: bool,

    /// Discard the changes
    #[arg(long)]
    pub discard: bool,

    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,

    /// The state directory
    #[command(flatten)]
    pub state: StateArgs,
}

impl DetachArgs {
    /// The options of detach.
    ///
    /// # Errors
    ///
    /// When a path cannot be found.
    pub fn options(&self) -> Result<DetachOptions> {
        Ok(DetachOptions {
            mountpoint: self.mountpoint.clone(),
            state: self.state.path()?,
            mode: match (self.force, self.lazy) {
                (true, _) => DetachMode::Force,
                (false, true) => DetachMode::Lazy,
                (false, false) => DetachMode::FailIfBusy,
            },
            discard: self.discard,
            program: running_program()?,
        })
    }
}
