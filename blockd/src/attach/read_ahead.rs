//! Reading the metadata at the front of a mounted device, before somebody asks.
//!
//! Before the mount it would be in vain: ext4 sets the block size, which
//! empties the device's cache.

use std::{fs::File, num::NonZeroU64, path::Path, thread};

use anyhow::{Context, Result};
use rustix::fs::{Advice, fadvise};

use super::aside;
use crate::cli::attach::ReadAheadArgs;

/// Of one request to read ahead the kernel does no more than this, whatever
/// the device's own settings are.
const PIECE: u64 = 128 << 10;
/// Up to here, to start a process would take longer.
const AT_ONCE: u64 = 4 << 20;

/// Has the kernel read the first `bytes` of a device, and does not wait.
pub(super) fn start(program: &Path, device: &Path, bytes: u64) {
    let started = if bytes <= AT_ONCE {
        read(device, bytes)
    } else {
        spawn(program, device, bytes)
    };
    if let Err(error) = started {
        tracing::debug!("the metadata is not read ahead: {error:#}");
    }
}

/// The hidden subcommand `read-ahead`: asking takes as long as the device's
/// queue is full. A process of its own, since one that serves the device must
/// not wait for it.
pub fn read_ahead(args: &ReadAheadArgs) -> Result<()> {
    read(&args.device, args.bytes)
}

fn read(device: &Path, bytes: u64) -> Result<()> {
    let file = File::open(device).with_context(|| format!("cannot open {}", device.display()))?;
    let length = NonZeroU64::new(PIECE);
    for offset in (0..bytes.div_ceil(PIECE)).map(|piece| piece * PIECE) {
        fadvise(&file, offset, length, Advice::WillNeed)?;
    }
    Ok(())
}

fn spawn(program: &Path, device: &Path, bytes: u64) -> Result<()> {
    let bytes = bytes.to_string();
    let mut child = aside::start(program, "read-ahead", [device.as_os_str(), bytes.as_ref()])?;
    // Where the caller lives on, somebody must take note of the end.
    thread::spawn(move || child.wait());
    Ok(())
}
