//! `blockd prefetch` (hidden): has the kernel read the metadata at the front of a
//! mounted device.
//!
//! Before the mount that would be in vain: ext4 sets the block size of the device,
//! which empties its page cache.

use std::{
    fs::OpenOptions,
    num::NonZeroU64,
    path::{Path, PathBuf},
    thread,
};

use anyhow::Result;
use rustix::fs::{Advice, fadvise};

use super::helper_process;
use crate::device_node::Device;

/// The most bytes that the kernel reads for one call of `posix_fadvise(2)`,
/// whatever the readahead of the device is.
const MAX_REQUEST: u64 = 128 << 10;
/// The most bytes that are asked for without a helper process: up to here,
/// starting one takes longer.
const MAX_IN_PROCESS: u64 = 4 << 20;

/// What is to be read.
#[derive(Clone, Debug)]
pub struct PrefetchOptions {
    /// The block device.
    pub device: PathBuf,
    /// How many bytes at its front.
    pub bytes: u64,
}

/// Asks the kernel to read the front of a device, which takes as long as its
/// request queue is full.
///
/// # Errors
///
/// When the device cannot be opened, or the kernel refuses.
pub fn prefetch(options: &PrefetchOptions) -> Result<()> {
    let file = Device::block(&options.device)?.open(OpenOptions::new().read(true))?;
    let length = NonZeroU64::new(MAX_REQUEST);
    for offset in (0..options.bytes.div_ceil(MAX_REQUEST)).map(|request| request * MAX_REQUEST) {
        fadvise(&file, offset, length, Advice::WillNeed)?;
    }
    Ok(())
}

/// Does the same in the background where it may take long. A failure is logged
/// only: whatever was not read ahead is read when it is needed.
pub(crate) fn start(program: &Path, options: &PrefetchOptions) {
    let started = if options.bytes <= MAX_IN_PROCESS {
        prefetch(options)
    } else {
        spawn(program, options)
    };
    if let Err(error) = started {
        tracing::debug!("the metadata is not read ahead: {error:#}");
    }
}

fn spawn(program: &Path, options: &PrefetchOptions) -> Result<()> {
    let bytes = options.bytes.to_string();
    let arguments = [options.device.as_os_str(), bytes.as_ref()];
    let mut child = helper_process::start(program, "prefetch", arguments)?;
    // A caller that goes on would leave a zombie.
    thread::spawn(move || child.wait());
    Ok(())
}
