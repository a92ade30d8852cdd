//! What a machine is made of.

use std::path::PathBuf;

use blockd_nbd::uri::Address;

use super::{
    store::Store,
    user::{Environment, User},
};
use crate::{http_access::TokenHash, mode::Mode};

/// The options of `agent boot`.
#[derive(Debug)]
pub struct Options {
    /// The export to attach; `None` for an empty workspace.
    pub repo: Option<String>,
    /// The blockd servers, in order of preference.
    pub servers: Vec<Address>,
    /// Whether the work tree takes changes.
    pub mode: Mode,
    /// Where the work tree is mounted, and codex works.
    pub workspace: PathBuf,
    /// The state directory; `None` for the best place that this machine has.
    pub state: Option<PathBuf>,
    /// Where changes go when the machine stops.
    pub store: Option<Store>,
    /// The name of the changes in the store.
    pub name: Option<String>,
    /// The user that codex runs as.
    pub user: User,
    /// The user that `agent serve` runs as.
    pub server: User,
    /// What is handed on of this machine's environment.
    pub environment: Environment,
    /// Where the configuration is that codex begins with, if there may be one.
    pub configuration: Option<PathBuf>,
    /// The platform's socket, which codex must not reach.
    pub platform: PathBuf,
    /// The hash of the token that callers of the agent must present.
    pub token: Option<TokenHash>,
    /// The public half of the key that the coordinator signs grants with, in PEM.
    pub grant_key: Option<String>,
    /// The API key that codex signs in with.
    pub codex_key: Option<String>,
    /// The program `agent`.
    pub agent: PathBuf,
    /// The program `blockd`.
    pub blockd: PathBuf,
    /// Further arguments of `agent serve`.
    pub serve: Vec<String>,
    /// The address at which `agent exercises` listens for `agent smoke`; `None`
    /// not to run it.
    pub exercises: Option<String>,
}

impl Options {
    /// Whether codex and `agent serve` run as two users.
    pub(super) fn has_two_users(&self) -> bool {
        self.user != self.server
    }
}
