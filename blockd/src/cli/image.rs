//! The command line of `image`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::values::StoreArgs;
use crate::local::{ImageOptions, LocalExport};

/// Write the disk of one commit to a sparse file.
#[derive(Debug, Args)]
pub struct ImageArgs {
    /// The repository's path, a revision and options: `REPO[@REV][:key=value]…`
    #[arg(value_name = "REPO[@REV][:OPTIONS]")]
    pub export: String,
    /// The file to write.
    pub file: PathBuf,
    /// What all exports have in common.
    #[command(flatten)]
    pub store: StoreArgs,
}

impl ImageArgs {
    /// The options.
    ///
    /// # Errors
    ///
    /// There is no state directory.
    pub fn options(&self) -> Result<ImageOptions> {
        Ok(ImageOptions {
            export: LocalExport {
                name: self.export.clone(),
                state: self.store.state()?,
                cache: self.store.cache,
            },
            file: self.file.clone(),
        })
    }
}
