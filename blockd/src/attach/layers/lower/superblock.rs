//! What a server must show before the kernel parses it.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::Path,
};

use anyhow::{Context, Result, bail};
pub(crate) use imagegen::image::Use;
use imagegen::image::check_first_block;

/// Checks that the disk on a device has the superblock of an image that blockd makes.
/// The relay shows the kernel the same one afterwards.
///
/// # Errors
///
/// When it has not, or cannot be read.
pub(super) fn check(device: &Path, since: Use) -> Result<()> {
    let mut first = [0; 4096];
    let mut read = || {
        let mut file = File::open(device)?;
        file.read_exact(&mut first)?;
        file.seek(SeekFrom::End(0))
    };
    let shown = device.display();
    let size = read().with_context(|| format!("cannot read {shown}"))?;
    if let Err(reason) = check_first_block(&first, size, since) {
        bail!(
            "the disk of the server is no ext4 that blockd makes: {reason}. It is not mounted: \
             the kernel would trust it. Mount whatever ext4 this server sends with --any-ext4, \
             if you trust it"
        );
    }
    Ok(())
}
