//! What the kernel has: ext4, and the kinds of block devices.

use std::{fs::File, path::Path};

use super::check::{Check, Health};
use crate::attach::layers::{
    device::{nbd, nbd_client, probe},
    programs,
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
        Some(device) if !device.exists() => bad(
            &format!("{} is not there", device.display()),
            "in a container: docker run --device /dev/nbd0 … (or mknod /dev/nbdN b 43 N, with \
             that cgroup rule)",
        ),
        Some(_) => Check::good(name, format!("there, with {} free devices", free.len())),
    }
}

fn fuse() -> Check {
    match probe::open_fuse() {
        Ok(_) => Check::good("FUSE", "there"),
        Err(error) => Check::bad(
            "FUSE",
            Health::Warning,
            format!("cannot open {}: {error}", probe::FUSE),
            "modprobe fuse; in a container: docker run --device /dev/fuse",
        ),
    }
}

fn loop_devices() -> Check {
    let name = "loop devices";
    let bad = |finding: String| {
        let fix = "modprobe loop; in a container: docker run --device /dev/loop-control and the \
                   cgroup rule b 7:* rwm";
        Check::bad(name, Health::Warning, finding, fix)
    };
    if let Err(error) = probe::open_loop_control() {
        return bad(format!("cannot open {}: {error}", probe::LOOP_CONTROL));
    }
    let first = Path::new("/dev/loop0");
    match File::open(first) {
        Ok(_) => Check::good(name, "there"),
        Err(error) => bad(format!("cannot open {}: {error}", first.display())),
    }
}
