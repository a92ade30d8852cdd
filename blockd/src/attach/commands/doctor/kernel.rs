//! What the kernel has: ext4, and the ways to a block device.

use std::{
    fs::{self, File, OpenOptions},
    path::Path,
};

use crate::attach::{
    commands::doctor::{Check, Health},
    layers::device::{nbd, nbd_client},
};

pub(super) fn ext4() -> Check {
    if has_file_system("ext4") {
        return Check::good("ext4", "there");
    }
    let finding = "this kernel has no ext4";
    Check::bad("ext4", Health::Fault, finding, "modprobe ext4")
}

/// Whether a file system is there, or a module that may be it.
pub(super) fn has_file_system(name: &str) -> bool {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    known.split_whitespace().any(|word| word == name)
        || nbd::has_module(&format!("kernel/fs/{name}"), name)
        || nbd::has_module(&format!("kernel/fs/{name}fs"), name)
}

/// Each way to a block device, and whether there is one.
pub(super) fn ways() -> Vec<Check> {
    let (nbd, fuse, loops) = (nbd(), fuse(), loop_devices());
    let good = |check: &Check| check.health == Health::Good;
    let name = "block device";
    let way = match (good(&nbd), good(&fuse) && good(&loops)) {
        (true, _) => Check::good(name, "attach takes the kernel's nbd"),
        (false, true) => Check::good(name, "attach takes FUSE and a loop device"),
        (false, false) => Check::bad(
            name,
            Health::Fault,
            "there is no way to one: neither nbd, nor FUSE with loop devices",
            "one of the above",
        ),
    };
    vec![nbd, fuse, loops, way]
}

fn nbd() -> Check {
    let name = "nbd";
    let bad = |finding: &str, mend: &str| Check::bad(name, Health::Warning, finding, mend);
    if !nbd::has_nbd() && !nbd::has_module("kernel/drivers/block", "nbd") {
        return bad(
            "this kernel has no nbd",
            "modprobe nbd nbds_max=64 max_part=0 (on the host, where this is a container)",
        );
    }
    if nbd_client::program(nbd_client::PROGRAM).is_none() {
        return bad("nbd-client is not installed", "apt-get install nbd-client");
    }
    if !nbd::has_nbd() {
        return Check::good(name, "a module that attach loads");
    }
    let free = nbd::free_devices();
    match free.first() {
        None => bad(
            "every /dev/nbdN is in use",
            "modprobe -r nbd && modprobe nbd nbds_max=64 max_part=0, when none is",
        ),
        Some(device) if !device.exists() => bad(
            &format!("{} is not there", device.display()),
            "in a container: docker run --device /dev/nbd0 … (or mknod /dev/nbdN b 43 N, with that cgroup rule)",
        ),
        Some(_) => Check::good(name, format!("there, with {} free devices", free.len())),
    }
}

fn fuse() -> Check {
    let opened = OpenOptions::new().read(true).write(true).open("/dev/fuse");
    match opened {
        Ok(_) => Check::good("FUSE", "there"),
        Err(error) => Check::bad(
            "FUSE",
            Health::Warning,
            format!("cannot open /dev/fuse: {error}"),
            "modprobe fuse; in a container: docker run --device /dev/fuse",
        ),
    }
}

fn loop_devices() -> Check {
    let name = "loop devices";
    let bad = |finding: String| {
        let mend = "modprobe loop; in a container: docker run --device /dev/loop-control and the \
                    cgroup rule b 7:* rwm";
        Check::bad(name, Health::Warning, finding, mend)
    };
    let control = Path::new("/dev/loop-control");
    match OpenOptions::new().read(true).write(true).open(control) {
        Err(error) => bad(format!("cannot open {}: {error}", control.display())),
        Ok(_) => match File::open("/dev/loop0") {
            Err(error) => bad(format!("cannot open /dev/loop0: {error}")),
            Ok(_) => Check::good(name, "there"),
        },
    }
}
