//! Signals to child processes.

use anyhow::{Context, Result};
use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process},
};
use tokio::process::Child;

/// Sends a child SIGTERM; one that has ended needs none.
///
/// # Errors
///
/// When the signal cannot be sent.
pub(crate) fn terminate(child: &Child) -> Result<()> {
    let Some(id) = child.id() else {
        return Ok(());
    };
    let pid = Pid::from_raw(id.cast_signed()).expect("a child's process id is positive");
    match kill_process(pid, Signal::TERM) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot signal process {id}")),
    }
}
