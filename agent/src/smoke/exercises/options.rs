//! What `agent exercises` is made of.

use std::{net::SocketAddr, path::PathBuf};

use crate::{
    http_access::TokenHash,
    machine::user::{Environment, User},
};

/// The options of `agent exercises`.
#[derive(Debug)]
pub struct Options {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The directory to deploy exercises in.
    pub directory: PathBuf,
    /// The program `blockd`.
    pub blockd: PathBuf,
    /// The program `agent`.
    pub agent: PathBuf,
    /// The token that callers must present, also those of the agents that are started.
    pub token: TokenHash,
    /// The user that codex and test suites run as.
    pub user: User,
    /// The user that `agent serve` runs as.
    pub server: User,
    /// What is handed on of this machine's environment.
    pub environment: Environment,
}

impl Options {
    /// The directory of the deployed exercise.
    pub(super) fn exercise(&self) -> PathBuf {
        self.directory.join("exercise")
    }

    /// The directory that the views are mounted in.
    pub(super) fn views(&self) -> PathBuf {
        self.exercise().join("views")
    }

    /// The state directory of blockd.
    pub(super) fn state(&self) -> PathBuf {
        self.directory.join("state")
    }
}
