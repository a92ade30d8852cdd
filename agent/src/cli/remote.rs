//! The server that a command calls.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::http::read_token;
use crate::client::{Machine, Server};

/// A server, and the credentials for it.
#[derive(Debug, Args)]
pub struct Remote {
    /// The URL of the server, like <http://127.0.0.1:8080>.
    pub url: String,
    /// A file with the token of the server.
    #[arg(long, env = "AGENT_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// The id of the machine of a Fly app to call. It is not started: when it is stopped, the call fails at once.
    #[arg(long, env = "AGENT_MACHINE", value_name = "ID")]
    pub machine: Option<String>,
    /// The id of the machine to call; the URL is that of a coordinator, which starts the machine first.
    #[arg(
        long,
        env = "AGENT_WAKE",
        value_name = "ID",
        conflicts_with = "machine"
    )]
    pub wake: Option<String>,
}

impl Remote {
    /// The server to call.
    ///
    /// # Errors
    ///
    /// When the token cannot be read.
    pub fn server(&self) -> Result<Server> {
        Ok(Server {
            url: self.url.trim_end_matches('/').to_owned(),
            token: self.token_file.as_deref().map(read_token).transpose()?,
            machine: match (&self.machine, &self.wake) {
                (Some(id), _) => Some(Machine::Pinned(id.clone())),
                (None, Some(id)) => Some(Machine::Woken(id.clone())),
                (None, None) => None,
            },
        })
    }
}
