//! The command line of `info`.

use anyhow::Result;
use clap::Args;

use super::values::StoreArgs;
use crate::local::{InfoOptions, LocalExport};

/// Plan the disk of one commit, and describe it.
#[derive(Debug, Args)]
pub struct InfoArgs {
    /// The repository's path, a revision and options: `REPO[@REV][:key=value]…`
    #[arg(value_name = "REPO[@REV][:OPTIONS]")]
    pub export: String,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// What all exports have in common.
    #[command(flatten)]
    pub store: StoreArgs,
}

impl InfoArgs {
    /// The options.
    ///
    /// # Errors
    ///
    /// There is no state directory.
    pub fn options(&self) -> Result<InfoOptions> {
        Ok(InfoOptions {
            export: LocalExport {
                name: self.export.clone(),
                state: self.store.state()?,
                cache: self.store.cache,
            },
            json: self.json,
        })
    }
}
