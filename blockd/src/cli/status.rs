//! The command line of `status`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::state::StateArgs;
use crate::attach::StatusOptions;

/// Show what is attached, through what, and whether it works.
#[derive(Args, Clone, Debug)]
pub struct StatusArgs {
    /// Show only what is attached here
    pub mountpoint: Option<PathBuf>,

    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,

    /// The state directory
    #[command(flatten)]
    pub state: StateArgs,
}

impl StatusArgs {
    /// The options of status.
    ///
    /// # Errors
    ///
    /// When a path cannot be found.
    pub fn options(&self) -> Result<StatusOptions> {
        Ok(StatusOptions {
            mountpoint: self.mountpoint.clone(),
            state: self.state.path()?,
        })
    }
}
