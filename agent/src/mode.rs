//! Whether an agent may change its work tree.

use serde::{Deserialize, Serialize};

/// Whether an agent may change its work tree; `ro` or `rw` in JSON, in a
/// machine's environment and in its metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// The work tree is read-only.
    #[serde(rename = "ro")]
    ReadOnly,
    /// The work tree takes changes.
    #[serde(rename = "rw")]
    ReadWrite,
}

impl Mode {
    /// `ro` or `rw`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "ro",
            Self::ReadWrite => "rw",
        }
    }
}
