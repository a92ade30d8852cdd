//! Attach, detach or a relay is killed at any moment: the next detach leaves nothing
//! but the changes.

use std::{
    collections::BTreeMap,
    fs,
    hash::{BuildHasher, RandomState},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use rustix::process::Signal;

use crate::harness::{Bench, run, send, wait_until};

/// Where another attachment of the same export works meanwhile.
const OTHER: &str = "m-other";
/// The system calls by which attach and detach change something.
const STEPS: [&str; 10] = [
    "mount", "umount2", "rename", "unlink", "rmdir", "mkdir", "ioctl", "flock", "clone3", "vfork",
];

/// Milliseconds, below a limit.
fn random(limit: u64) -> Duration {
    Duration::from_millis(RandomState::new().hash_one(()) % limit)
}

/// Reads and writes until `end`; returns how many rounds it has made.
fn work(tree: &Path, end: &AtomicBool) -> usize {
    let mut rounds = 0;
    while !end.load(Ordering::Relaxed) || rounds == 0 {
        let number = rounds % 50;
        let read = fs::read_to_string(tree.join(format!("src/deep/{number}.txt"))).unwrap();
        assert_eq!(read, format!("file {number}\n").repeat(number * 20));
        fs::write(tree.join(format!("written-{number}")), read).unwrap();
        rounds += 1;
    }
    rounds
}

/// The files that a work tree must have beside those of the export.
type Changes = BTreeMap<String, String>;

fn change(bench: &Bench, changes: &mut Changes) {
    let name = format!("change-{}", changes.len());
    let content = format!("{name}\n").repeat(changes.len() * 1000 + 1);
    fs::write(bench.path("m").join(&name), &content).unwrap();
    changes.insert(name, content);
}

fn assert_whole(bench: &Bench, changes: &Changes) {
    let names = fs::read_dir(bench.path("m")).unwrap().flatten();
    let names = names.map(|entry| entry.file_name().into_string().unwrap());
    let mut found: Vec<String> = names.filter(|name| name.starts_with("change-")).collect();
    found.sort();
    let mut expected: Vec<String> = changes.keys().cloned().collect();
    expected.sort();
    assert_eq!(found, expected);
    for (name, content) in changes {
        assert_eq!(
            &fs::read_to_string(bench.path("m").join(name)).unwrap(),
            content
        );
    }
}

/// Starts a command and kills it after a time.
fn kill_after(command: &mut Command, time: Duration) {
    let mut running = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    thread::sleep(time);
    running.kill().unwrap();
    running.wait().unwrap();
}

fn attach_and_detach_killed_at_random_times(moments: usize) {
    let bench = Bench::new();
    bench.attach_at(OTHER, "repo", &[]);
    let relay = bench.relay();
    let (end, mut changes) = (AtomicBool::new(false), Changes::new());
    thread::scope(|scope| {
        let (other, end) = (bench.path(OTHER), &end);
        let worker = scope.spawn(move || work(&other, end));
        for _ in 0..moments.div_ceil(2) {
            kill_after(&mut bench.attach_command("repo", &[]), random(60));
            bench.detach(&[]);
            bench.attach("repo", &[]);
            assert_whole(&bench, &changes);
            change(&bench, &mut changes);
            kill_after(&mut bench.detach_command(&[]), random(60));
            bench.detach(&[]);
            assert_eq!(fs::read_dir(bench.mountpoint()).unwrap().count(), 0);
        }
        end.store(true, Ordering::Relaxed);
        assert!(worker.join().unwrap() > 0);
    });
    assert_eq!(bench.relay(), relay, "the other went on with its device");
    bench.detach_from(OTHER, &[]);
    bench.nothing_is_left();
    bench.attach("repo", &[]);
    assert_whole(&bench, &changes);
    bench.detach(&["--discard"]);
}

#[test]
fn a_kill_at_random_times_under_load_loses_and_leaves_nothing() {
    attach_and_detach_killed_at_random_times(12);
}

#[test]
#[ignore = "a minute: make soak"]
fn a_kill_at_fifty_random_times_under_load_loses_and_leaves_nothing() {
    attach_and_detach_killed_at_random_times(50);
}

/// The relay is killed at random moments of an attach or detach.
#[test]
fn a_relay_killed_at_random_times_leaves_nothing() {
    let bench = Bench::new();
    let mut changes = Changes::new();
    for round in 0..6 {
        let mut command = if round % 2 == 0 {
            bench.attach_command("repo", &[])
        } else {
            bench.attach("repo", &[]);
            assert_whole(&bench, &changes);
            change(&bench, &mut changes);
            bench.detach_command(&[])
        };
        let mut running = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(random(80));
        for relay in bench.relays() {
            send(relay, Signal::KILL);
        }
        running.wait().unwrap();
        bench.detach(&[]);
        bench.nothing_will_be_left();
    }
    bench.attach("repo", &[]);
    assert_whole(&bench, &changes);
}

/// Runs a command that is killed before its `nth` call of one system call; `false`
/// when it makes fewer.
fn killed_before(command: &Command, call: &str, nth: usize) -> bool {
    let mut traced = Command::new("strace");
    traced.args(["-o", "/dev/null", "-e", &format!("trace={call}")]);
    traced.args(["-e", &format!("inject={call}:signal=SIGKILL:when={nth}")]);
    traced.arg(command.get_program()).args(command.get_args());
    traced.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    let output = traced
        .output()
        .expect("strace: install Debian's package strace");
    let killed = output.status.signal() == Some(9) || output.status.code() == Some(137);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(killed || output.status.success(), "{call} {nth}: {said}");
    killed
}

/// Kills attach and detach before each of their calls of these system calls.
fn killed_before_each(calls: &[&str]) {
    let bench = Bench::new();
    let (mut changes, mut attaches, mut detaches) = (Changes::new(), 0, 0);
    for call in calls {
        while killed_before(&bench.attach_command("repo", &[]), call, attaches + 1) {
            bench.detach(&[]);
            bench.nothing_will_be_left();
            attaches += 1;
        }
        assert_whole(&bench, &changes);
        attaches = 0;
        change(&bench, &mut changes);
        while killed_before(&bench.detach_command(&[]), call, detaches + 1) {
            bench.detach(&[]);
            bench.nothing_will_be_left();
            bench.attach("repo", &[]);
            assert_whole(&bench, &changes);
            change(&bench, &mut changes);
            detaches += 1;
        }
        assert!(*call != "umount2" || detaches > 1, "{detaches}");
        detaches = 0;
        bench.nothing_is_left();
    }
}

#[test]
fn a_kill_before_every_mount_unmount_and_record_leaves_nothing() {
    killed_before_each(&STEPS[..3]);
}

#[test]
#[ignore = "a minute: make soak"]
fn a_kill_before_every_step_leaves_nothing() {
    killed_before_each(&STEPS[3..]);
}

#[test]
fn detach_takes_down_what_a_killed_detach_began_with_the_server_gone() {
    let bench = Bench::new();
    bench.attach("repo", &["--timeout", "1s"]);
    fs::write(bench.path("m/mine"), "mine").unwrap();
    send(bench.server(), Signal::KILL);
    kill_after(&mut bench.detach_command(&[]), random(30));
    bench.detach(&[]);
    bench.nothing_will_be_left();
    let kept = run(&mut bench.blockd(&["diff", bench.mountpoint().to_str().unwrap()]));
    assert_eq!(kept, "A mine\n");
}

#[test]
fn a_device_in_use_is_removed_though_its_reaper_was_killed() {
    let bench = Bench::new();
    bench.attach("repo", &[]);
    let mut inside = Command::new("sleep")
        .arg("600")
        .current_dir(bench.path("m/src"))
        .spawn()
        .unwrap();
    bench.detach(&["--lazy"]);
    for waiting in bench.processes_with("reap") {
        send(waiting, Signal::KILL);
    }
    inside.kill().unwrap();
    inside.wait().unwrap();
    wait_until("detach finds the device unused", || {
        bench.detach(&["--lazy"]);
        bench.entries("lowers").is_empty()
    });
    bench.nothing_will_be_left();
}
