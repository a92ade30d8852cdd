//! Where programs of the system administrator are found.

use std::path::{Path, PathBuf};

/// PATH of a user, who may call blockd through sudo, need not have these.
const DIRECTORIES: [&str; 6] = [
    "/usr/sbin",
    "/sbin",
    "/usr/local/sbin",
    "/usr/bin",
    "/bin",
    "/usr/local/bin",
];

/// The path of an installed program; `None` when it is not installed.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    DIRECTORIES
        .iter()
        .map(|directory| Path::new(directory).join(name))
        .find(|path| path.exists())
}
