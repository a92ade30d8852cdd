//! What umount(8) knows of an attachment.

use std::{io, path::Path};

use anyhow::{Context, Result};

use super::mountpoint;
use crate::attach::layers::utab::{self, Recorded};

/// What attach told umount(8) of what is mounted at `mountpoint`; `None` when that is
/// nothing of blockd's.
///
/// # Errors
///
/// When the tables of mounts cannot be read.
pub fn mounted_at(mountpoint: &Path) -> Result<Option<Recorded>> {
    let resolved = mountpoint::resolve(mountpoint)?;
    let found: io::Result<_> = utab::find(&resolved);
    found.with_context(|| format!("cannot find what is mounted at {}", mountpoint.display()))
}
