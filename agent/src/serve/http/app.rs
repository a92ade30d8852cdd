//! The state that all routes share.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use tokio::sync::Mutex;

use crate::{
    http_access::Access,
    serve::{keys::Key, session::Session},
};

/// The longest request body in bytes: a message of the longest text, each
/// character escaped in JSON.
pub(super) const MAX_BODY: usize = 16 << 20;

/// The state that all routes share.
#[derive(Debug, Clone)]
pub struct App {
    /// The program and its runs.
    pub session: Arc<Session>,
    /// Who may call.
    pub access: Arc<Access>,
    /// Keys that people may type although they are blocked by default.
    pub allowed_keys: Arc<[Key]>,
    /// Held by the viewer who types.
    pub keyboard: Arc<Mutex<()>>,
    /// The id of this machine, if a coordinator sends requests to it.
    pub machine: Option<Arc<str>>,
    /// The directory of MCP sessions that outlive the server.
    pub sessions: PathBuf,
    /// Whether the server is about to end, having been idle for long enough.
    pub ending: Arc<AtomicBool>,
}
