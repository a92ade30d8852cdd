//! `agent live`

use clap::Args;

use super::remote::Remote;
use crate::client;

/// `agent live`
#[derive(Debug, Args)]
pub struct Live {
    /// Go on until the run ends.
    #[arg(long)]
    pub follow: bool,
    /// Begin at this offset.
    #[arg(long, value_name = "N")]
    pub offset: Option<u64>,
    /// Print every byte to a terminal, too. Otherwise a terminal gets what draws (text, colours, the cursor), and nothing that it would answer, or that changes the clipboard, the window or the keys. A pipe or a file always gets every byte.
    #[arg(long)]
    pub raw: bool,
    /// The server.
    #[command(flatten)]
    pub remote: Remote,
}

impl Live {
    /// Which part of the output is printed, and how.
    pub fn options(&self) -> client::Live {
        client::Live {
            offset: self.offset,
            follow: self.follow,
            raw: self.raw,
        }
    }
}
