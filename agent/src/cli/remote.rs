//! The server that a command calls.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::http::read_token;
use crate::client::{Machine, Server};

/// A server, and the credentials for it.
#[derive(Debug, Args)]
pub struct Remote {
    /// The URL of the server, like <http://127.0.0.1:8080>, or one that it has printed with a token.
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
        let (url, in_url) = split(&self.url);
        let token = match in_url {
            Some(token) => Some(token.to_owned()),
            None => self.token_file.as_deref().map(read_token).transpose()?,
        };
        Ok(Server {
            url: url.trim_end_matches('/').to_owned(),
            token,
            machine: match (&self.machine, &self.wake) {
                (Some(id), _) => Some(Machine::Pinned(id.clone())),
                (None, Some(id)) => Some(Machine::Woken(id.clone())),
                (None, None) => None,
            },
        })
    }
}

/// The address of a server and the token, in a URL that one has printed.
fn split(url: &str) -> (&str, Option<&str>) {
    let Some((page, token)) = url.split_once("?token=") else {
        return (url, None);
    };
    let paths = ["/mcp", "/live", "/terminal"];
    let address = paths.iter().find_map(|path| page.strip_suffix(path));
    (address.unwrap_or(page), Some(token))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn a_url_that_was_printed_has_address_and_token() {
        for (url, expected) in [
            ("http://h:1/terminal?token=a", ("http://h:1", Some("a"))),
            ("http://h:1/?token=a", ("http://h:1/", Some("a"))),
            ("http://h:1/x/mcp?token=a", ("http://h:1/x", Some("a"))),
            ("http://h:1", ("http://h:1", None)),
        ] {
            assert_eq!(split(url), expected, "{url}");
        }
    }
}
