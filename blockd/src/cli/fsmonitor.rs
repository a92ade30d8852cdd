//! The command line of `fsmonitor`.

use std::{env, path::PathBuf};

use clap::{Args, ValueEnum};

use crate::fsmonitor::FsmonitorOptions;

/// Tell git which files of an attached work tree to look at (git's hook).
#[derive(Args, Clone, Debug)]
#[command(after_help = HELP)]
pub struct FsmonitorArgs {
    /// The version of git's protocol
    pub version: u32,

    /// Since when: always since the image was made
    pub token: String,

    /// The directory with the changes; without it, git looks at every file
    #[arg(long)]
    pub upper: Option<PathBuf>,

    /// The export, mounted without changes
    #[arg(long)]
    pub lower: PathBuf,

    /// Where it is attached
    #[arg(long)]
    pub worktree: PathBuf,

    /// The object format of the repository
    #[arg(long, default_value = "sha1")]
    pub object_format: ObjectFormat,
}

/// The object format of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ObjectFormat {
    /// SHA-1
    Sha1,
    /// SHA-256
    Sha256,
}

const HELP: &str = "\
attach sets it up: git runs it as core.fsmonitor with a version and a token, in the work
tree, and reads names of paths, or / for all, each followed by a NUL. GIT_INDEX_FILE is the
index that git uses. It writes nothing, and never fails: what it cannot tell is /.";

impl FsmonitorArgs {
    /// The options of fsmonitor.
    pub fn options(&self) -> FsmonitorOptions {
        let index = env::var_os("GIT_INDEX_FILE");
        FsmonitorOptions {
            version: self.version,
            upper: self.upper.clone(),
            lower: self.lower.clone(),
            worktree: self.worktree.clone(),
            index: index.map_or_else(|| ".git/index".into(), PathBuf::from),
            id_length: match self.object_format {
                ObjectFormat::Sha1 => 20,
                ObjectFormat::Sha256 => 32,
            },
        }
    }
}
