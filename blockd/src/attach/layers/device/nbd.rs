//! The kernel's own NBD client, as sysfs shows it.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result};
use rustix::{
    fs::OFlags,
    ioctl::{self, Opcode, Setter},
};
use tokio::process::Command;

use crate::attach::layers::device::nbd_client;

const SYS_BLOCK: &str = "/sys/block";

/// Why the kernel's client cannot be used here.
pub(crate) async fn obstacle() -> Option<&'static str> {
    if nbd_client::program(nbd_client::PROGRAM).is_none() {
        return Some("nbd-client is not installed (Debian's package nbd-client)");
    }
    if !has_nbd() && has_module("kernel/drivers/block", "nbd") {
        // Whether it worked shows below.
        let _loaded =
            Command::new(nbd_client::program("modprobe").unwrap_or_else(|| "modprobe".into()))
                .args(["nbd", "nbds_max=64", "max_part=0"])
                .stderr(Stdio::null())
                .status()
                .await;
    }
    (!has_nbd()).then_some("this kernel has no nbd")
}

pub(crate) fn has_nbd() -> bool {
    Path::new(SYS_BLOCK).join("nbd0").exists()
}

/// Whether a folder of the running kernel's modules has one. Asking the file
/// system is quicker than a modprobe that must fail.
pub(crate) fn has_module(folder: &str, name: &str) -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let folder = Path::new("/lib/modules").join(release.trim()).join(folder);
    ["ko", "ko.xz", "ko.zst", "ko.gz"]
        .iter()
        .any(|ending| folder.join(format!("{name}.{ending}")).exists())
}

/// Devices that nobody uses, in order.
pub(crate) fn free_devices() -> Vec<PathBuf> {
    free_in(Path::new(SYS_BLOCK))
}

fn free_in(sys_block: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(sys_block).into_iter().flatten().flatten();
    let mut numbers: Vec<u32> = entries
        .filter_map(|entry| {
            entry
                .file_name()
                .to_str()?
                .strip_prefix("nbd")?
                .parse()
                .ok()
        })
        .filter(|number| {
            let device = sys_block.join(format!("nbd{number}"));
            !device.join("pid").exists() && size(&device) == Some(0)
        })
        .collect();
    numbers.sort_unstable();
    numbers
        .into_iter()
        .map(|number| PathBuf::from(format!("/dev/nbd{number}")))
        .collect()
}

fn queue_of(device: &Path) -> PathBuf {
    Path::new(SYS_BLOCK).join(device.file_name().unwrap_or_default())
}

/// Bytes, from sysfs's 512-byte sectors.
fn size(device: &Path) -> Option<u64> {
    let sectors = fs::read_to_string(device.join("size")).ok()?;
    sectors.trim().parse::<u64>().ok()?.checked_mul(512)
}

/// The defaults ask for 128 KiB at a time, which is one round trip each.
pub(crate) fn tune(device: &Path) {
    for (knob, value) in [("max_sectors_kb", "1024"), ("read_ahead_kb", "1024")] {
        if let Err(error) = fs::write(queue_of(device).join("queue").join(knob), value) {
            tracing::debug!("{knob} of {} stays as it is: {error}", device.display());
        }
    }
}

/// What `nbd-client -nonetlink` once made read-only stays so when another export
/// is connected.
pub(crate) fn let_write(device: &Path) -> Result<()> {
    const BLKROSET: Opcode = 0x125D;
    let shown = device.display();
    let file = File::open(device).with_context(|| format!("cannot open {shown}"))?;
    // SAFETY: BLKROSET of linux/fs.h reads one int and writes nothing.
    #[expect(unsafe_code, reason = "rustix has no call for it")]
    let done = unsafe { ioctl::ioctl(&file, Setter::<BLKROSET, i32>::new(0)) };
    done.with_context(|| format!("cannot make {shown} writable"))
}

/// Whether a device shows an export of this size.
pub(crate) fn has_size(device: &Path, bytes: u64) -> bool {
    size(&queue_of(device)) == Some(bytes)
}

/// Whether the kernel's client still serves a device.
pub(crate) fn is_connected(device: &Path) -> bool {
    queue_of(device).join("pid").exists()
}

/// Whether something has a device mounted.
pub(crate) fn is_mounted(device: &Path) -> bool {
    let exclusive = OFlags::EXCL.bits().cast_signed();
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(exclusive)
        .open(device);
    opened.is_err_and(|error| error.kind() == io::ErrorKind::ResourceBusy)
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
            free_in(sys.path()),
            [Path::new("/dev/nbd2"), Path::new("/dev/nbd10")]
        );
    }
}
