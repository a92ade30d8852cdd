//! What `agent exercises` is made of.

use std::{net::SocketAddr, path::PathBuf};

use crate::machine::user::User;

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
    /// The file with the token, for the agents that are started.
    pub token_file: Option<PathBuf>,
    /// The token that callers must present.
    pub token: Option<String>,
    /// The user that codex and test suites run as.
    pub user: User,
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
