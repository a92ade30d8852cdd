//! Repair of an ext4 that was mounted for writing when the machine or the relay
//! died.
//!
//! Where it has a journal, as images with free space have, the kernel recovers
//! it when it is mounted; where it has none, e2fsck(8) must.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::attach::layers::programs;

/// The offset of `s_state` on the disk: the superblock begins at 1024.
const STATE_OFFSET: u64 = 1024 + 0x3A;
/// `EXT4_VALID_FS` without `EXT4_ERROR_FS`: cleanly unmounted.
const CLEAN: u16 = 1;
/// The exit code of e2fsck(8) when it has corrected all errors.
const CORRECTED: i32 = 1;

/// Makes sure that the ext4 on a device is clean.
///
/// # Errors
///
/// When the superblock cannot be read, or e2fsck is missing or does not correct
/// all errors.
pub(super) fn fsck(device: &Path) -> Result<()> {
    let mut state = [0; 2];
    File::open(device)
        .and_then(|file| file.read_exact_at(&mut state, STATE_OFFSET))
        .with_context(|| format!("cannot read {}", device.display()))?;
    if u16::from_le_bytes(state) == CLEAN {
        return Ok(());
    }
    tracing::info!("the file system was not unmounted: running e2fsck");
    let e2fsck = programs::find("e2fsck").context(
        "the file system was not unmounted, and e2fsck is not installed: install Debian's e2fsprogs",
    )?;
    let output = Command::new(e2fsck)
        .arg("-p")
        .arg(device)
        .stdin(Stdio::null())
        .output()
        .context("cannot run e2fsck")?;
    if output.status.code().is_some_and(|code| code <= CORRECTED) {
        return Ok(());
    }
    let output = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    bail!("e2fsck cannot repair the file system with the changes: {output}")
}
