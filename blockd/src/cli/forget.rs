//! The command line of `forget`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::values::{StoreArgs, absolute};
use crate::local::ForgetOptions;

/// Remove kept snapshots that hold what was purged from a repository.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct ForgetArgs {
    /// The repository's path; it may be gone.
    pub repo: PathBuf,
    /// Those that have this object, a full id, whether the repository still has
    /// it or not.
    pub object: Option<String>,
    /// All of the repository.
    #[arg(long, conflicts_with = "object")]
    pub all: bool,
    /// The state directory of the server.
    #[command(flatten)]
    pub store: StoreArgs,
}

const HELP: &str = "\
A server keeps the packs that an image shows (serve --keep). After `git filter-repo` or
`git gc --prune=now` they still have what was purged, and so has .git of images that were
opened before. Without OBJECT and --all the snapshots are removed that have an object which
the repository no longer has. Their canonical names are refused from then on; who has such
an image open reads errors where he has not read before.";

impl ForgetArgs {
    /// The options.
    ///
    /// # Errors
    ///
    /// A path is empty, or relative to a current directory that is gone.
    pub fn options(&self) -> Result<ForgetOptions> {
        Ok(ForgetOptions {
            repo: absolute(&self.repo)?,
            object: self.object.clone(),
            all: self.all,
            state: self.store.state()?,
        })
    }
}
