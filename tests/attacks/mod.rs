//! Two honest clients go on while strangers do their worst, and the server takes
//! no more memory than its bounds allow: what it has resident at most (`VmHWM`), and,
//! where a test may make one, what a control group gives it, pages of packs and all,
//! of which the kernel takes back what it needs.

mod attack;
mod client;
mod group;
mod honest;
mod many;
mod repos;

use std::{
    fs,
    net::Ipv4Addr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};

use self::{
    attack::{ATTACKS, Attack, Attacker},
    group::Group,
    honest::{Times, percentile},
};
use crate::harness::TestBlockd;

const MIB: u64 = 1 << 20;

/// The bounds of the server, in MiB: its cache, plans, and requests.
const BOUNDS: [(&str, u64); 3] = [("--cache", 64), ("--plans", 64), ("--requests", 64)];

/// The program itself, what decodes, and the threads that do, in MiB: what has no
/// bound of its own, since it has one for each of some threads. The program has 20
/// when it starts, and four arenas keep some of what was in them.
const BESIDE: u64 = 64;

/// How large attacks are.
#[derive(Clone, Copy)]
struct Scale {
    /// MiB of a file that is converted.
    megabytes: usize,
    /// Commits of a history that is searched.
    commits: usize,
    /// Connections that one attacker holds.
    connections: usize,
    /// Opens of each honest client, each with 16 reads.
    opens: u32,
}

#[test]
fn two_clients_go_on_under_every_attack() {
    let scale = Scale {
        megabytes: 4,
        commits: 2000,
        connections: 40,
        opens: 8,
    };
    hold(scale);
}

#[test]
#[ignore = "minutes: make soak"]
fn two_clients_go_on_under_every_attack_for_long() {
    let scale = Scale {
        megabytes: 96,
        commits: 50_000,
        connections: 200,
        opens: 300,
    };
    hold(scale);
}

#[track_caller]
fn hold(scale: Scale) {
    let folder = tempfile::tempdir().unwrap();
    repos::write(folder.path(), scale.megabytes, scale.commits);
    let sizes = BOUNDS.map(|(flag, size)| (flag, format!("{size}M")));
    let mut arguments = vec!["--revision-search", "--peer-requests", "32M"];
    for (flag, size) in &sizes {
        arguments.extend([flag, size.as_str()]);
    }
    arguments.extend(["--listen", "127.0.0.1:0"]);
    let bounds: u64 = BOUNDS.iter().map(|(_, size)| size).sum();
    let most = (bounds + BESIDE) * MIB;
    let group = Group::new(most);
    let server = TestBlockd::serve_with(folder.path(), &arguments);
    match &group {
        Some(group) => group.add(server.pid()).unwrap(),
        None => println!("no control group may be made: the process alone is measured"),
    }
    // The first of all plans what others find.
    honest::work(server.port(), 8);
    let quiet = honest::work(server.port(), scale.opens);
    println!("{:28} {}  {:>9}", "", heading(), "peak MiB");
    report("quiet", &quiet, &quiet, &server);
    for attack in &ATTACKS {
        let times = under(attack, &server, scale);
        report(attack.name, &times, &quiet, &server);
    }
    let peak = memory(&server, "VmHWM");
    assert!(peak < most, "{} MiB of {}", peak / MIB, most / MIB);
}

/// What the honest clients see under an attack.
fn under(attack: &Attack, server: &TestBlockd, scale: Scale) -> Times {
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let (port, connections) = (server.port(), scale.connections);
    thread::scope(|scope| {
        for number in 0..attack.threads {
            let attacker = Attacker {
                port,
                from: Ipv4Addr::new(127, 0, 1, 1 + number),
                stop: &stop,
                done: &done,
                connections,
            };
            scope.spawn(move || attack.go_on(&attacker));
        }
        let _stop = Stop(&stop);
        honest::work(port, scale.opens)
    })
}

/// Ends an attack, also where an honest client has failed.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

fn heading() -> String {
    let columns = ["read p50", "p99", "×quiet", "open p50", "p99", "×quiet"];
    columns.map(|column| format!("{column:>9}")).join(" ")
}

fn report(name: &str, times: &Times, quiet: &Times, server: &TestBlockd) {
    let columns = |times: &[Duration], quiet: &[Duration]| {
        let (half, most) = (percentile(times, 50), percentile(times, 99));
        let ratio = most.as_secs_f64() / percentile(quiet, 99).as_secs_f64();
        format!("{:>9} {:>9} {ratio:>9.1}", shown(half), shown(most))
    };
    let (reads, opens) = (
        columns(&times.reads, &quiet.reads),
        columns(&times.opens, &quiet.opens),
    );
    let peak = memory(server, "VmHWM") / MIB;
    println!("{name:28} {reads} {opens}  {peak:>9}");
}

fn shown(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

/// A line of the server's `/proc/PID/status`, in bytes.
fn memory(server: &TestBlockd, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    let kilobytes = line.split_whitespace().nth(1).unwrap();
    kilobytes.parse::<u64>().unwrap() * 1024
}
