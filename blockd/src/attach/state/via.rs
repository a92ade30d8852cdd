//! How an export becomes a block device.

use serde::{Deserialize, Serialize};

/// How an export becomes a block device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// The kernel's NBD client, set up by nbd-client(8).
    Nbd,
    /// A FUSE file system with one file, and a loop device on that file.
    Fuse,
}

impl Via {
    /// What it is, for messages.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Nbd => "the kernel's nbd",
            Self::Fuse => "FUSE and a loop device",
        }
    }
}
