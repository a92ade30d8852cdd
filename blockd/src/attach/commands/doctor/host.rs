//! Versions, capabilities, namespaces and limits of this process.

use std::{
    fs,
    process::{Command, Stdio},
};

use rustix::{
    process::{Resource, getrlimit},
    thread::CapabilitySet,
};

use super::check::{Check, Health};
use crate::attach::{
    commands::privilege,
    layers::{
        device::{nbd_client, probe},
        programs,
    },
};

/// The memory in bytes that a relay may have to lock.
const LOCKED_MEMORY: u64 = 256 << 20;
/// The sockets and files that a relay may have open.
const OPEN_FILES: u64 = 1024;

pub(super) fn versions() -> Check {
    let own = env!("CARGO_PKG_VERSION");
    let kernel = probe::kernel_release().unwrap_or_else(|error| format!("unknown ({error})"));
    let client = client_version();
    Check::good(
        "versions",
        format!("blockd {own}, Linux {kernel}, {client}"),
    )
}

/// The first line that `nbd-client -V` prints.
fn client_version() -> String {
    let Some(program) = programs::find(nbd_client::PROGRAM) else {
        return "no nbd-client".to_owned();
    };
    let output = Command::new(program)
        .arg("-V")
        .stdin(Stdio::null())
        .output();
    let output = match output {
        Ok(output) => [output.stdout, output.stderr].concat(),
        Err(error) => return format!("nbd-client, which cannot be run ({error})"),
    };
    let output = String::from_utf8_lossy(&output);
    let line = output.lines().find(|line| !line.trim().is_empty());
    line.unwrap_or("nbd-client of an unknown version")
        .to_owned()
}

pub(super) fn privilege() -> Check {
    let name = "CAP_SYS_ADMIN";
    match privilege::has(CapabilitySet::SYS_ADMIN) {
        Ok(true) => Check::good(name, "this process may mount"),
        Ok(false) => Check::bad(
            name,
            Health::Fault,
            "this process may not mount",
            "run it with sudo; in a container: docker run --cap-add SYS_ADMIN",
        ),
        Err(error) => Check::bad(
            name,
            Health::Fault,
            format!("the capabilities of this process cannot be read: {error}"),
            "in a container: allow capget(2) in its seccomp profile",
        ),
    }
}

/// ext4 and loop devices belong to the initial user namespace.
pub(super) fn namespaces() -> Check {
    let name = "namespaces";
    // A kernel without user namespaces has no such file.
    let is_initial = fs::read_to_string("/proc/self/uid_map").map_or(true, |map| {
        map.split_whitespace().eq(["0", "0", "4294967295"])
    });
    if !is_initial {
        return Check::bad(
            name,
            Health::Fault,
            "this process is in a user namespace, where ext4 cannot be mounted",
            "attach on the host, and pass the mount to the container",
        );
    }
    // What of process 1 may not be read is taken for the same.
    let is_other = |kind: &&str| {
        let link = |process| fs::read_link(format!("/proc/{process}/ns/{kind}")).ok();
        link("1").is_some_and(|first| link("self").is_some_and(|own| own != first))
    };
    let own: Vec<&str> = ["mnt", "net", "pid"].into_iter().filter(is_other).collect();
    let finding = if own.is_empty() {
        "those of process 1".to_owned()
    } else {
        let own = own.join(", ");
        format!("of its own: {own}; a mount is seen inside only")
    };
    Check::good(name, finding)
}

pub(super) fn limits() -> Vec<Check> {
    // A limit of `None` is none.
    let allows = |resource, needed| {
        let limit = getrlimit(resource).current;
        limit.is_none_or(|limit| limit >= needed)
    };
    let may_lock = privilege::has(CapabilitySet::IPC_LOCK).is_ok_and(|has| has);
    vec![
        check_limit(
            "ulimit -l",
            may_lock || allows(Resource::Memlock, LOCKED_MEMORY),
            "a relay can lock its memory",
            "a relay cannot lock its memory: a host that swaps may hang",
            "ulimit -l unlimited; in a container: docker run --ulimit memlock=-1",
        ),
        check_limit(
            "ulimit -n",
            allows(Resource::Nofile, OPEN_FILES),
            "a relay can open enough files",
            "few open files are allowed: a relay may fail",
            "ulimit -n 4096",
        ),
    ]
}

fn check_limit(name: &'static str, is_good: bool, good: &str, bad: &str, fix: &str) -> Check {
    if is_good {
        Check::good(name, good)
    } else {
        Check::bad(name, Health::Warning, bad, fix)
    }
}
