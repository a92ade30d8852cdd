//! The command line of `hydrate`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::{attach::StateArgs, values::size};
use crate::attach::HydrateOptions;

/// Bring all of an attached disk to this host.
#[derive(Args, Clone, Debug)]
#[command(after_help = HYDRATE_HELP)]
pub struct HydrateArgs {
    /// Where it is attached
    pub mountpoint: PathBuf,

    /// Wait until all is here; ended by Ctrl-C, the hydration goes on
    #[arg(long)]
    pub wait: bool,

    /// The most that may be stored [default: 4G]
    #[arg(long, env = "BLOCKD_CACHE_SIZE", value_name = "SIZE", value_parser = size)]
    pub cache_size: Option<u64>,

    /// Say as JSON how far it is
    #[arg(long)]
    pub json: bool,

    /// Where it is kept what is attached, and what is changed
    #[command(flatten)]
    pub state: StateArgs,
}

const HYDRATE_HELP: &str = "\
It begins in the background, if it has not yet, and goes behind what is read
meanwhile. What is here is never asked for again; when all is, the servers may
go away. All attachments of the same export share it, and it goes with the last
of them. Where the state directory has no room any more it is given up, and
reads go on as before.

  blockd hydrate /workspace --wait && echo 'unplug the network'";

impl HydrateArgs {
    /// What was typed, and what the environment adds.
    pub fn options(&self) -> Result<HydrateOptions> {
        Ok(HydrateOptions {
            mountpoint: self.mountpoint.clone(),
            state: self.state.path()?,
            wait: self.wait,
            cache_size: self.cache_size,
        })
    }
}
