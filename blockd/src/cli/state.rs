//! The option --state, which all commands about attachments have.

use std::path::{self, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use super::values::default_state;

/// The state directory.
#[derive(Args, Clone, Debug)]
pub struct StateArgs {
    /// The directory with the records of attachments, and with their changes
    /// [default: /var/lib/blockd/attach for root, else blockd/attach in
    /// `XDG_STATE_HOME`]
    #[arg(long = "state", value_name = "DIR", env = "BLOCKD_ATTACH_STATE")]
    pub directory: Option<PathBuf>,
}

impl StateArgs {
    /// The absolute path of the state directory.
    ///
    /// # Errors
    ///
    /// When there is no current directory, or no default.
    pub(super) fn path(&self) -> Result<PathBuf> {
        match &self.directory {
            Some(directory) => path::absolute(directory).context("cannot find the state directory"),
            None => Ok(default_state()?.join("attach")),
        }
    }
}
