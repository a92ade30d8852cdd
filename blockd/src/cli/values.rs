//! Values that several command lines take.

use std::{
    env,
    path::{self, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::units;

/// A time of a command line.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    units::parse_time(text)
}

/// `512M`, `4G`, or plain bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    units::parse_size(text).ok_or_else(|| "expected a size like 512M or 4G".to_owned())
}

/// A path that holds in any directory.
pub(crate) fn absolute(path: &PathBuf) -> Result<PathBuf> {
    path::absolute(path).with_context(|| format!("cannot find {}", path.display()))
}

/// This program, to start it once more.
pub(crate) fn running_program() -> Result<PathBuf> {
    env::current_exe().context("cannot find the running program")
}

/// `/var/lib/blockd` for root, else below the user's state directory (XDG
/// Base Directory Specification).
pub(crate) fn default_state() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return "/var/lib/blockd".into();
    }
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let state = env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(home);
    state.unwrap_or_else(env::temp_dir).join("blockd")
}
