//! The command line of `doctor`.

use anyhow::Result;
use clap::Args;

use super::state::StateArgs;
use crate::attach::DoctorOptions;

/// Check whether attach can work on this host, and print how to fix what is missing.
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,

    /// The state directory
    #[command(flatten)]
    pub state: StateArgs,
}

impl DoctorArgs {
    /// The options of doctor.
    ///
    /// # Errors
    ///
    /// When a path cannot be found.
    pub fn options(&self) -> Result<DoctorOptions> {
        Ok(DoctorOptions {
            state: self.state.path()?,
        })
    }
}
