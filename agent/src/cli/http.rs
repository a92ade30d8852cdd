//! The flags that say who may call a server.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use axum::http::uri::Authority;
use clap::Args;

use crate::http_access::{Access, TokenHash};

/// Who may call.
#[derive(Debug, Args)]
pub struct Guard {
    /// A file with the token that callers must send, or with sha256: and its hash in hexadecimal.
    /// Without it one is made and printed in the URL, for a server that listens on loopback.
    #[arg(long, env = "AGENT_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// A host name of this server, like app.flycast. Agents must allow that of their coordinator, too.
    #[arg(
        long,
        env = "AGENT_ALLOW_HOST",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub allow_host: Vec<String>,
    /// An origin whose pages may call, like <https://app.example>.
    #[arg(
        long,
        env = "AGENT_ALLOW_ORIGIN",
        value_name = "ORIGIN",
        value_delimiter = ','
    )]
    pub allow_origin: Vec<String>,
}

impl Guard {
    /// Who may call a server that listens on this address, and the token that was made
    /// if none is given. Whoever else is on this host reaches loopback, too.
    ///
    /// # Errors
    ///
    /// When there is no token and the address is not loopback, when the token
    /// cannot be read, or when a name or an origin is malformed.
    pub fn access(&self, listen: SocketAddr) -> Result<(Access, Option<String>)> {
        if let Some(file) = &self.token_file {
            return Ok((self.with_token(file)?, None));
        }
        ensure!(
            listen.ip().is_loopback(),
            "--listen {listen} is not loopback: that needs a --token-file"
        );
        let (access, token) = Access::with_new_token();
        Ok((self.named(access)?, Some(token)))
    }

    /// Who may call with the token in `file`, under the same names.
    ///
    /// # Errors
    ///
    /// When the token cannot be read, or a name or an origin is malformed.
    pub fn with_token(&self, file: &Path) -> Result<Access> {
        self.named(Access::new(read_token_hash(file)?))
    }

    /// Adds the names of the server.
    fn named(&self, mut access: Access) -> Result<Access> {
        for host in &self.allow_host {
            ensure!(
                host.parse::<Authority>()
                    .is_ok_and(|named| named.host() == host),
                "--allow-host {host}: expected a name alone, like app.flycast"
            );
        }
        for origin in &self.allow_origin {
            ensure!(
                origin
                    .split_once("://")
                    .is_some_and(|(_, rest)| rest.parse::<Authority>().is_ok()),
                "--allow-origin {origin}: expected a scheme and a name, like https://app.example"
            );
        }
        access.hosts.clone_from(&self.allow_host);
        access.origins.clone_from(&self.allow_origin);
        Ok(access)
    }
}

/// Reads a token from its file, or the hash that is there in its place.
pub(crate) fn read_token_hash(path: &Path) -> Result<TokenHash> {
    let token = read_token(path)?;
    Ok(TokenHash::parse(&token).unwrap_or_else(|| TokenHash::of(&token)))
}

/// Reads a key in PEM from its file.
pub(crate) fn read_pem(path: &Path) -> Result<String> {
    let pem = fs::read_to_string(path);
    pem.with_context(|| format!("cannot read the key in {}", path.display()))
}

/// Reads a token from its file.
pub(crate) fn read_token(path: &Path) -> Result<String> {
    let token = fs::read_to_string(path);
    let token = token.with_context(|| format!("cannot read the token in {}", path.display()))?;
    let token = token.trim().to_owned();
    // It is sent in headers and cookies.
    let fits = |byte: u8| byte.is_ascii_graphic() && !b",;\"\\".contains(&byte);
    ensure!(
        token.len() >= 16 && token.bytes().all(fits),
        "the token in {} must have 16 visible ASCII characters or more, and no , ; \" or \\",
        path.display()
    );
    Ok(token)
}
