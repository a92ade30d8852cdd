//! The platform's own socket, `/.fly/api`. It issues identity tokens for whoever
//! asks, and stops the machine: it is root's alone.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::Path,
};

use anyhow::{Context, Result};
use tracing::info;

/// Takes the socket, if there is one, out of reach of all users but root.
///
/// # Errors
///
/// When that cannot be done: codex is not to run then.
pub(super) fn hide(socket: &Path) -> Result<()> {
    let hidden = fs::set_permissions(socket, Permissions::from_mode(0o600));
    match hidden {
        Ok(()) => {
            info!("{} is for root alone", socket.display());
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error)
            .with_context(|| format!("cannot take {} out of codex's reach", socket.display())),
    }
}
