//! The command lines of the hidden subcommands that attach and detach start.

use std::path::PathBuf;

use clap::Args;

use crate::attach::{PrefetchOptions, ReapOptions};

/// Remove a lower layer when its device is not in use any more (started by detach).
#[derive(Args, Clone, Debug)]
pub struct ReapArgs {
    /// The state directory
    pub state: PathBuf,

    /// The name of the lower layer's directory in it
    pub key: String,
}

impl ReapArgs {
    /// The options of reap.
    pub fn options(&self) -> ReapOptions {
        ReapOptions {
            state: self.state.clone(),
            key: self.key.clone(),
        }
    }
}

/// Have the kernel read the front of a mounted device (started by attach).
#[derive(Args, Clone, Debug)]
pub struct PrefetchArgs {
    /// The block device
    pub device: PathBuf,

    /// The number of bytes to read
    pub bytes: u64,
}

impl PrefetchArgs {
    /// The options of prefetch.
    pub fn options(&self) -> PrefetchOptions {
        PrefetchOptions {
            device: self.device.clone(),
            bytes: self.bytes,
        }
    }
}
