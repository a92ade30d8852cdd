//! The command lines of `profile`, and of the hidden `warm`.

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use clap::{Args, Subcommand};

use super::{state::StateArgs, values::time};
use crate::attach::{RecordOptions, WarmOptions};
use blockd_nbd::uri::NbdUri;

/// Profiles: what sessions read first, and who attaches next finds read.
#[derive(Args, Clone, Debug)]
pub struct ProfileArgs {
    /// What to do
    #[command(subcommand)]
    pub command: ProfileCommand,
}

/// What to do with a profile.
#[derive(Subcommand, Clone, Debug)]
pub enum ProfileCommand {
    /// Watch which files a session opens, and have the server keep their paths.
    Record(RecordArgs),
}

/// Watch which files a session opens, and have the server keep their paths.
#[derive(Args, Clone, Debug)]
#[command(after_help = RECORD_HELP)]
pub struct RecordArgs {
    /// Where it is attached
    pub mountpoint: PathBuf,

    /// For how long
    #[arg(long = "for", value_name = "TIME", default_value = "180s", value_parser = time)]
    pub time: Duration,

    /// Say as JSON what was recorded
    #[arg(long)]
    pub json: bool,

    /// Where it is kept what is attached, and what is changed
    #[command(flatten)]
    pub state: StateArgs,
}

const RECORD_HELP: &str = "\
Attach, start this, and do what a session does first: build, test, search. From
then on, whoever attaches any commit of this repository has these files read
ahead in the background. The server keeps the last 8 recordings.";

/// Have the kernel read what a profile lists (started by attach).
#[derive(Args, Clone, Debug)]
pub struct WarmArgs {
    /// The export, by its canonical name
    pub server: NbdUri,

    /// Where its ext4 is mounted
    pub tree: PathBuf,
}

impl RecordArgs {
    /// What was typed, and what the environment adds.
    pub fn options(&self) -> Result<RecordOptions> {
        Ok(RecordOptions {
            mountpoint: self.mountpoint.clone(),
            state: self.state.path()?,
            time: self.time,
        })
    }
}

impl WarmArgs {
    /// The options of warm.
    pub fn options(&self) -> WarmOptions {
        WarmOptions {
            server: self.server.clone(),
            tree: self.tree.clone(),
        }
    }
}
