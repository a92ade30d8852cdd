//! The command line of `info`.

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
    pub fn options(&self) -> InfoOptions {
        InfoOptions {
            export: LocalExport {
                name: self.export.clone(),
                state: self.store.state(),
                cache: self.store.cache,
            },
            json: self.json,
        }
    }
}
