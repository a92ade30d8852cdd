//! What the kernel has: ext4, and the kinds of block devices.

use std::{fs::OpenOptions, path::Path};

use anyhow::Result;

use super::check::{Check, Health};
use crate::{
    attach::layers::{
        device::{nbd, nbd_client, probe},
        programs,
    },
    device_node::Device,
};

pub(super) fn ext4() -> Check {
    if probe::has_file_system("ext4") {
        return Check::good("ext4", "there");
    }
    let finding = "this kernel has no ext4";
    Check::bad("ext4", Health::Fault, finding, "modprobe ext4")
}

/// Each kind of block device, and whether there is one.
pub(super) fn block_devices() -> Vec<Check> {
    let (nbd, fuse, loops) = (nbd(), fuse(), loop_devices());
    let is_good = |check: &Check| check.health == Health::Good;
    let name = "block device";
    let any = match (is_good(&nbd), is_good(&fuse) && is_good(&loops)) {
        (true, _) => Check::good(name, "attach uses the kernel's nbd"),
        (false, true) => Check::good(name, "attach uses FUSE and a loop device"),
        (false, false) => Check::bad(
            name,
            Health::Fault,
            "attach can use none: there is neither nbd, nor FUSE with loop devices",
            "fix one of the above",
        ),
    };
    vec![nbd, fuse, loops, any]
}

fn nbd() -> Check {
    let name = "nbd";
    let bad = |finding: &str, fix: &str| Check::bad(name, Health::Warning, finding, fix);
    if !probe::has_nbd() && !probe::has_nbd_module() {
        return bad(
            "this kernel has no nbd",
            "modprobe nbd nbds_max=64 max_part=0 (on the host, where this is a container)",
        );
    }
    if programs::find(nbd_client::PROGRAM).is_none() {
        return bad("nbd-client is not installed", "apt-get install nbd-client");
    }
    if !probe::has_nbd() {
        return Check::good(name, "a module that attach loads");
    }
    let free = match nbd::free_devices() {
        Ok(free) => free,
        Err(error) => return bad(&format!("{error:#}"), "mount -t sysfs sysfs /sys"),
    };
    match free.first() {
        None => bad(
            "every /dev/nbdN is in use",
            "modprobe -r nbd && modprobe nbd nbds_max=64 max_part=0, when none is",
        ),
        Some(device) => match open_block(device) {
            Ok(own) => {
                let found = format!("there, with {} free devices", free.len());
                Check::good(name, found + &own_nodes(own.as_slice()))
            }
            Err(error) => bad(
                &format!("{error:#}"),
                "in a container: docker run --device /dev/nbd0 …, or the cgroup rule b 43:* rwm",
            ),
        },
    }
}

/// Opens a block device; returns it if that took a node of our own.
fn open_block(path: &Path) -> Result<Option<Device>> {
    let device = Device::block(path)?;
    device.open(OpenOptions::new().read(true))?;
    Ok((!device.is_in_dev()).then_some(device))
}

/// What is added to a finding where `/dev` lacks nodes.
fn own_nodes(missing: &[Device]) -> String {
    if missing.is_empty() {
        return String::new();
    }
    let paths = missing.iter().map(Device::path);
    let paths: Vec<String> = paths.map(|path| path.display().to_string()).collect();
    let paths = paths.join(", ");
    format!(", but not as {paths}: attach makes a node of its own")
}

fn fuse() -> Check {
    match probe::open_fuse() {
        Ok(_) => {
            let mut missing = vec![Device::fuse()];
            missing.retain(|device| !device.is_in_dev());
            Check::good("FUSE", format!("there{}", own_nodes(&missing)))
        }
        Err(error) => Check::bad(
            "FUSE",
            Health::Warning,
            format!("{error:#}"),
            "modprobe fuse; in a container: docker run --device /dev/fuse",
        ),
    }
}

fn loop_devices() -> Check {
    let name = "loop devices";
    match open_loop_devices() {
        Ok(missing) => Check::good(name, format!("there{}", own_nodes(&missing))),
        Err(error) => Check::bad(
            name,
            Health::Warning,
            format!("{error:#}"),
            "modprobe loop; in a container: docker run --device /dev/loop-control and the cgroup \
             rule b 7:* rwm",
        ),
    }
}

/// Opens what hands out loop devices and, where there is one, the first; returns
/// those that took a node of our own.
fn open_loop_devices() -> Result<Vec<Device>> {
    probe::open_loop_control()?;
    let mut missing = vec![Device::loop_control()];
    missing.retain(|device| !device.is_in_dev());
    if Path::new("/sys/block/loop0").exists() {
        missing.extend(open_block(Path::new("/dev/loop0"))?);
    }
    Ok(missing)
}
