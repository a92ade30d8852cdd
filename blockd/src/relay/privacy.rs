//! What other users, and other programs of the same user, do not see of a relay. It
//! holds keys, and what runs in a work tree must neither read nor steer it.

use std::path::Path;

use anyhow::{Context, Result};
use rustix::{
    fs::{Mode, chmod},
    process::{DumpableBehavior, set_dumpable_behavior, umask},
};

use blockd_nbd::server::Listener;

/// What is made from here on is its owner's only.
pub(super) fn shut_others_out() {
    umask(Mode::RWXG | Mode::RWXO);
}

/// Binds a socket that only its owner may connect to.
///
/// # Errors
///
/// It cannot be bound; the error names its path.
pub(super) async fn bind(path: &Path) -> Result<Listener> {
    let listener = Listener::bind_unix(path).await?;
    chmod(path, Mode::RUSR | Mode::WUSR)
        .with_context(|| format!("cannot keep others from {}", path.display()))?;
    Ok(listener)
}

/// No other program of this user may read the memory or the environment of this one,
/// trace it, or get a core dump of it (`PR_SET_DUMPABLE`).
///
/// # Errors
///
/// Those of prctl(2).
pub(super) fn hide_memory() -> Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .context("cannot hide the memory of the relay from other programs")
}
