//! `blockd reap` (hidden): removes a lower layer whose device was still in use when
//! its last attachment was detached.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::{io::Errno, process::setsid};

use super::helper_process;
use crate::{
    attach::{layers::lower::release, state::lower_dir::LowerDir},
    relay::inherit_nothing,
};

/// Which lower layer is to be removed.
#[derive(Clone, Debug)]
pub struct ReapOptions {
    /// The state directory.
    pub state: PathBuf,
    /// The name of the lower layer's directory in it.
    pub key: String,
}

/// Waits until the device of a lower layer is not in use any more, and removes the
/// layer.
///
/// # Errors
///
/// When a layer cannot be taken down.
pub fn reap(options: &ReapOptions) -> Result<()> {
    match setsid() {
        // EPERM: it leads a session already.
        Ok(_) | Err(Errno::PERM) => {}
        Err(error) => return Err(error).context("cannot leave the terminal"),
    }
    release::release_when_unused(&LowerDir::with_key(&options.state, &options.key))
}

/// Starts `blockd reap` in the background.
///
/// # Errors
///
/// When it cannot be started.
pub(crate) fn start(program: &Path, lower: &LowerDir) -> Result<()> {
    inherit_nothing().context("cannot close the caller's files")?;
    let arguments = [lower.state().as_os_str(), lower.key().as_ref()];
    let child = helper_process::start(program, "reap", arguments)?;
    // It outlives this process.
    drop(child);
    Ok(())
}
