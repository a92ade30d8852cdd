//! The devices of the kernel's NBD client, as sysfs shows them.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rustix::{
    fs::OFlags,
    ioctl::{self, Opcode, Setter},
};

use crate::device_node::Device;

const SYS_BLOCK: &str = "/sys/block";

/// The devices that are not connected, in order of their numbers.
///
/// # Errors
///
/// When sysfs is not mounted.
pub(crate) fn free_devices() -> Result<Vec<PathBuf>> {
    let directory = Path::new(SYS_BLOCK);
    free_in(directory).with_context(|| format!("cannot list {}", directory.display()))
}

fn free_in(sys_block: &Path) -> io::Result<Vec<PathBuf>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(sys_block)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("nbd"));
        numbers.extend(number.and_then(|number| number.parse::<u32>().ok()));
    }
    numbers.retain(|number| {
        let device = sys_block.join(format!("nbd{number}"));
        !device.join("pid").exists() && size(&device) == Some(0)
    });
    numbers.sort_unstable();
    let paths = numbers
        .into_iter()
        .map(|number| PathBuf::from(format!("/dev/nbd{number}")));
    Ok(paths.collect())
}

/// The directory of a device in sysfs.
fn sys_directory(device: &Path) -> PathBuf {
    let name = device.file_name().expect("/dev/nbdN has a file name");
    Path::new(SYS_BLOCK).join(name)
}

/// The size of a device in bytes; sysfs counts sectors of 512. `None` when the
/// device is not there.
fn size(sys_directory: &Path) -> Option<u64> {
    let sectors = fs::read_to_string(sys_directory.join("size")).ok()?;
    sectors.trim().parse::<u64>().ok()?.checked_mul(512)
}

/// Lets the kernel ask for 1 MiB at once: by default it asks for 128 KiB, and each
/// request is a round trip.
pub(super) fn tune(device: &Path) {
    for (file, value) in [("max_sectors_kb", "1024"), ("read_ahead_kb", "1024")] {
        let path = sys_directory(device).join("queue").join(file);
        if let Err(error) = fs::write(&path, value) {
            tracing::debug!("{} stays as it is: {error}", path.display());
        }
    }
}

/// Lets a device be written to: one that was read-only, as `nbd-client -nonetlink`
/// sets it, stays so when another export is connected to it.
///
/// # Errors
///
/// When the device cannot be opened, or the kernel refuses.
pub(super) fn make_writable(device: &Path) -> Result<()> {
    const BLKROSET: Opcode = 0x125D;
    let shown = device.display();
    let file = Device::block(device)?.open(OpenOptions::new().read(true))?;
    // SAFETY: BLKROSET of linux/fs.h reads one int and writes nothing.
    #[expect(unsafe_code, reason = "rustix has no call for it")]
    let done = unsafe { ioctl::ioctl(&file, Setter::<BLKROSET, i32>::new(0)) };
    done.with_context(|| format!("cannot make {shown} writable"))
}

/// Whether a device has this size in bytes.
pub(crate) fn has_size(device: &Path, bytes: u64) -> bool {
    size(&sys_directory(device)) == Some(bytes)
}

/// Whether a device is connected to a server.
pub(crate) fn is_connected(device: &Path) -> bool {
    sys_directory(device).join("pid").exists()
}

/// Whether a file system on the device is mounted: the kernel then refuses to open
/// it with `O_EXCL` (open(2)).
pub(crate) fn is_mounted(device: &Path) -> bool {
    let exclusive = OFlags::EXCL.bits().cast_signed();
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(exclusive);
    let opened = Device::block(device).and_then(|device| device.open(&options));
    let is_busy = |error: &anyhow::Error| {
        let error = error.downcast_ref::<io::Error>();
        error.is_some_and(|error| error.kind() == io::ErrorKind::ResourceBusy)
    };
    opened.is_err_and(|error| is_busy(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_devices_have_no_size_and_no_process() {
        let sys = tempfile::tempdir().unwrap();
        let device = |name: &str, size: &str| {
            let folder = sys.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("size"), size).unwrap();
            folder
        };
        device("nbd10", "0\n");
        device("nbd2", "0\n");
        device("nbd1", "8\n");
        fs::write(device("nbd0", "0\n").join("pid"), "1\n").unwrap();
        device("loop0", "0\n");
        assert_eq!(
            free_in(sys.path()).unwrap(),
            [Path::new("/dev/nbd2"), Path::new("/dev/nbd10")]
        );
    }
}
