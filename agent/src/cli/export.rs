//! `agent export`

use std::path::PathBuf;

use clap::Args;

use super::remote::Remote;
use crate::client;

/// `agent export`
#[derive(Debug, Args)]
pub struct Export {
    /// The server.
    #[command(flatten)]
    pub remote: Remote,
    /// The run, as /live/runs and the server's page name it; without it, the last.
    pub run: Option<String>,
    /// The file to write; without it, standard output.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

impl Export {
    /// Which run is written, and where.
    pub fn options(&self) -> client::Export {
        client::Export {
            run: self.run.clone(),
            output: self.output.clone(),
        }
    }
}
