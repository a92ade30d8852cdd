//! The command line of `diff`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::state::StateArgs;
use crate::attach::DiffOptions;

/// List the changed paths of a work tree, attached or not.
#[derive(Args, Clone, Debug)]
#[command(after_help = DIFF_HELP)]
pub struct DiffArgs {
    /// Where it is, or was, attached
    pub mountpoint: PathBuf,

    /// List only what was changed at or below these paths, which begin at the
    /// mountpoint
    #[arg(last = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,

    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,

    /// The state directory
    #[command(flatten)]
    pub state: StateArgs,
}

const DIFF_HELP: &str = "\
  A PATH          added
  M PATH          modified
  D PATH          deleted, with everything below it
  R FROM -> PATH  renamed

Files of .git are listed too. While the export is not attached anywhere, a file that
was replaced under its old name is listed as added.";

impl DiffArgs {
    /// The options of diff.
    ///
    /// # Errors
    ///
    /// When a path cannot be found.
    pub fn options(&self) -> Result<DiffOptions> {
        Ok(DiffOptions {
            mountpoint: self.mountpoint.clone(),
            paths: self.paths.clone(),
            state: self.state.path()?,
        })
    }
}
