//! `agent terminal`

use clap::Args;

use super::remote::Remote;

/// `agent terminal`
#[derive(Debug, Args)]
pub struct Terminal {
    /// Draw whatever the server sends. Otherwise nothing passes that a terminal would answer, or that changes the clipboard, the window or the keys.
    #[arg(long)]
    pub raw: bool,
    /// The server.
    #[command(flatten)]
    pub remote: Remote,
}
