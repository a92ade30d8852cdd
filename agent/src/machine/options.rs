//! What a machine is made of.

use std::path::PathBuf;

use blockd_nbd::uri::Address;

use super::{store::Store, user::User};
use crate::mode::Mode;

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
    /// The user that codex and the agent run as.
    pub user: User,
    /// The token that callers of the agent must present.
    pub token: Option<String>,
    /// The key of the machine tokens that a coordinator issues.
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
