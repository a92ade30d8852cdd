//! What `blockd detach` is to do.

use std::path::PathBuf;

use crate::attach::commands::teardown::DetachMode;

/// What to detach, and how.
#[derive(Clone, Debug)]
pub struct DetachOptions {
    /// Where it is attached.
    pub mountpoint: PathBuf,
    /// The state directory.
    pub state: PathBuf,
    /// What is done about processes that use the mountpoint.
    pub mode: DetachMode,
    /// Discard the changes.
    pub discard: bool,
    /// The `blockd` that is started for helper processes.
    pub program: PathBuf,
}
