//! `agent live`

use clap::Args;

use super::remote::Remote;

/// `agent live`
#[derive(Debug, Args)]
pub struct Live {
    /// Go on until the run ends.
    #[arg(long)]
    pub follow: bool,
    /// Begin at this offset.
    #[arg(long, value_name = "N")]
    pub offset: Option<u64>,
    /// The server.
    #[command(flatten)]
    pub remote: Remote,
}
