//! A file system that was written to when the machine or the relay died.
//!
//! With a journal, which images with free space have, the kernel puts it right
//! when it is mounted; without one, e2fsck must.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::attach::layers::device::nbd_client::program;

/// `s_state` in the superblock, which begins at 1024.
const STATE: u64 = 1024 + 0x3A;
/// `EXT4_VALID_FS`, without `EXT4_ERROR_FS`.
const CLEAN: u16 = 1;
/// e2fsck(8): errors were corrected.
const CORRECTED: i32 = 1;

/// Makes sure that the ext4 on a device is clean.
pub(crate) fn check(device: &Path) -> Result<()> {
    let mut state = [0; 2];
    File::open(device)
        .and_then(|file| file.read_exact_at(&mut state, STATE))
        .with_context(|| format!("cannot read {}", device.display()))?;
    if u16::from_le_bytes(state) == CLEAN {
        return Ok(());
    }
    tracing::info!("the file system was not unmounted: e2fsck looks at it");
    let e2fsck = program("e2fsck").context(
        "the file system was not unmounted, and e2fsck is not installed (Debian's e2fsprogs)",
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
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    bail!("e2fsck cannot put the changed file system right: {said}")
}
