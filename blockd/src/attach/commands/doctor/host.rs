//! Who we are here: versions, capabilities, namespaces, limits.

use std::{
    fs,
    process::{Command, Stdio},
};

use rustix::process::{Resource, Rlimit, getrlimit};

use crate::attach::{
    commands::{
        doctor::{Check, Health},
        privilege,
    },
    layers::device::nbd_client,
};

/// What the relay may have to lock.
const LOCKED: u64 = 256 << 20;
/// Sockets, loop devices and files of one relay.
const FILES: u64 = 1024;

pub(super) fn versions() -> Vec<Check> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let client = nbd_client::program(nbd_client::PROGRAM).map_or_else(
        || "no nbd-client".to_owned(),
        |program| {
            let asked = Command::new(program)
                .arg("-V")
                .stdin(Stdio::null())
                .output();
            let said = asked.map(|output| [output.stdout, output.stderr].concat());
            let said = said.unwrap_or_default();
            let said = String::from_utf8_lossy(&said).trim().to_owned();
            said.lines().next().unwrap_or("nbd-client").to_owned()
        },
    );
    let own = env!("CARGO_PKG_VERSION");
    vec![Check::good(
        "versions",
        format!("blockd {own}, Linux {}, {client}", release.trim()),
    )]
}

pub(super) fn privilege() -> Check {
    let name = "CAP_SYS_ADMIN";
    match privilege::check("attach mounts file systems") {
        Ok(()) => Check::good(name, "we may mount"),
        Err(_) => Check::bad(
            name,
            Health::Fault,
            "we may not mount",
            "run it with sudo; in a container: docker run --cap-add SYS_ADMIN",
        ),
    }
}

/// ext4 and loop devices belong to the first user namespace.
pub(super) fn namespaces() -> Check {
    let name = "namespaces";
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    if map.split_whitespace().collect::<Vec<_>>() != ["0", "0", "4294967295"] {
        return Check::bad(
            name,
            Health::Fault,
            "this is a user namespace of its own, in which no ext4 can be mounted",
            "attach outside, and give the container the mount",
        );
    }
    let other = |kind: &&str| {
        let link = |process| fs::read_link(format!("/proc/{process}/ns/{kind}")).ok();
        link("1").is_some_and(|first| link("self").is_some_and(|own| own != first))
    };
    let own: Vec<&str> = ["mnt", "net", "pid"].into_iter().filter(other).collect();
    Check::good(
        name,
        match own.join(", ").as_str() {
            "" => "those of process 1".to_owned(),
            own => format!("of its own: {own}; what is attached shows in there only"),
        },
    )
}

pub(super) fn limits() -> Vec<Check> {
    let above = |resource, wanted| match getrlimit(resource) {
        Rlimit { current: None, .. } => true,
        Rlimit { current, .. } => current.is_some_and(|current| current >= wanted),
    };
    let locked = above(Resource::Memlock, LOCKED) || privilege::may_lock();
    let files = above(Resource::Nofile, FILES);
    vec![
        check_limit(
            "ulimit -l",
            locked,
            "the relay can lock its memory",
            "the relay cannot lock its memory: a host that swaps may hang",
            "ulimit -l unlimited; in a container: docker run --ulimit memlock=-1",
        ),
        check_limit(
            "ulimit -n",
            files,
            "enough open files",
            "few open files are allowed",
            "ulimit -n 4096",
        ),
    ]
}

fn check_limit(name: &'static str, good: bool, well: &str, finding: &str, mend: &str) -> Check {
    if good {
        Check::good(name, well)
    } else {
        Check::bad(name, Health::Warning, finding, mend)
    }
}
