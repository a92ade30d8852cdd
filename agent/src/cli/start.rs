//! `agent start`

use clap::Args;

use super::remote::Remote;

/// `agent start`
#[derive(Debug, Args)]
pub struct Start {
    /// Continue the last conversation.
    #[arg(long)]
    pub resume: bool,
    /// The server.
    #[command(flatten)]
    pub remote: Remote,
}
