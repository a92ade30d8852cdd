//! The command line of `hydrate`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::{state::StateArgs, values::size};
use crate::attach::HydrateOptions;

/// Copy the whole disk of an attachment to this host.
#[derive(Args, Clone, Debug)]
#[command(after_help = HYDRATE_HELP)]
pub struct HydrateArgs {
    /// Where it is attached
    pub mountpoint: PathBuf,

    /// Wait until the whole disk is stored. Ctrl-C ends the wait, not the hydration
    #[arg(long)]
    pub wait: bool,

    /// The most bytes that may be stored [default: 4G]
    #[arg(long, env = "BLOCKD_CACHE_SIZE", value_name = "SIZE", value_parser = size)]
    pub cache_size: Option<u64>,

    /// Print the progress as JSON
    #[arg(long)]
    pub json: bool,

    /// The state directory
    #[command(flatten)]
    pub state: StateArgs,
}

const HYDRATE_HELP: &str = "\
The hydration is started in the background, unless it is running already, and gives
way to reads. What is stored is not read from a server again; when the whole disk is
stored, no server is needed any more. All attachments of an export share it, and it
is removed with the last of them. When the state directory is full, the hydration is
given up, and reads go on as before.

  blockd hydrate /workspace --wait && echo 'unplug the network'";

impl HydrateArgs {
    /// The options of hydrate.
    ///
    /// # Errors
    ///
    /// When a path cannot be found.
    pub fn options(&self) -> Result<HydrateOptions> {
        Ok(HydrateOptions {
            mountpoint: self.mountpoint.clone(),
            state: self.state.path()?,
            wait: self.wait,
            cache_size: self.cache_size,
        })
    }
}
