//! Values that several command lines take.

use std::{
    env,
    path::{self, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Args;

use crate::units;
use blockd_nbd::uri::{NbdUri, UriError};

/// `30s`, `500ms`, `2m`, or plain seconds.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    units::parse_time(text)
}

/// `512M`, `4G`, or plain bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    units::parse_size(text).ok_or_else(|| "expected a size like 512M or 4G".to_owned())
}

/// The same of what is held in memory.
fn memory_size(text: &str) -> Result<usize, String> {
    let bytes = size(text)?;
    usize::try_from(bytes).map_err(|_| format!("{bytes} bytes are more than can be addressed"))
}

/// The state directory of the server, and how much memory it uses.
#[derive(Clone, Debug, Args)]
pub struct StoreArgs {
    /// The state directory: snapshots of what was opened, and spooled blobs
    /// [default: /var/lib/blockd, or blockd in `XDG_STATE_HOME`]
    #[arg(long, env = "BLOCKD_STATE", value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Memory for cached blobs and trees.
    #[arg(long, env = "BLOCKD_CACHE", value_name = "SIZE", default_value = "512M",
          value_parser = memory_size)]
    pub cache: usize,
}

impl StoreArgs {
    /// The state directory that was given, else the default.
    pub(super) fn state(&self) -> PathBuf {
        self.state.clone().unwrap_or_else(default_state)
    }
}

/// A path that means the same in any directory.
pub(crate) fn absolute(path: &PathBuf) -> Result<PathBuf> {
    path::absolute(path).with_context(|| format!("cannot find {}", path.display()))
}

/// An NBD URI whose paths mean the same in any directory: whoever connects may be
/// a process in the background, which has another.
pub(crate) fn uri(text: &str) -> Result<NbdUri, String> {
    let uri = text
        .parse::<NbdUri>()
        .map_err(|error: UriError| error.to_string())?;
    uri.absolute()
        .map_err(|error| format!("{text:?}: cannot find the current directory: {error}"))
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
