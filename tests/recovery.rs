//! Servers that are killed, frozen and started again under those who read:
//! right bytes or an error in time, and then all goes on.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::harness::{Fixture, GuestRun, Mounted, TestBlockd, history, stdout};

/// Longer than any deadline of these tests; what takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The digest of all files of a work tree.
const DIGEST: &str = "find . -name .git -prune -o -type f -print0 | LC_ALL=C sort -z | \
                      xargs -0 sha256sum | sha256sum";

/// So that what is read next is read from the server.
fn forget_what_was_read() {
    fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
}

fn digest(mounted: &Mounted) -> String {
    let mut digest = Command::new("sh");
    stdout(digest.args(["-c", DIGEST]).current_dir(mounted.path()))
}

#[track_caller]
fn eventually(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "in vain we wait until {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_server_that_is_killed_and_started_again_is_not_noticed() {
    let (_, mut server) = history();
    let mounted = Mounted::attach(&server.uri("history"));
    let expected = digest(&mounted);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let restarting = scope.spawn(|| {
            for _ in 0..3 {
                server.kill();
                thread::sleep(Duration::from_millis(200));
                server.start_again();
                thread::sleep(Duration::from_millis(300));
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            forget_what_was_read();
            mounted.assert_clean();
            assert_eq!(digest(&mounted), expected);
        }
        restarting.join().unwrap();
    });
    forget_what_was_read();
    assert_eq!(digest(&mounted), expected);
    let relay = &mounted.status()["relay"];
    assert!(relay["reconnects"].as_u64().unwrap() > 0, "{relay}");
    assert_eq!(relay["errors"], 0, "{relay}");
}

#[test]
fn a_frozen_server_is_an_error_after_the_deadline_and_comes_back() {
    let (_, server) = history();
    let mounted = Mounted::attach_with(&server.uri("history"), &["--timeout", "1s"]);
    let expected = digest(&mounted);
    server.signal(Signal::STOP);
    forget_what_was_read();
    let begun = Instant::now();
    let read = fs::read(mounted.path().join("src/part1/file1.c"));
    server.signal(Signal::CONT);
    // EIO: 5.
    assert_eq!(read.unwrap_err().raw_os_error(), Some(5));
    assert!(begun.elapsed() < PATIENCE, "it hung");
    eventually("the disk is back", || {
        fs::read(mounted.path().join("src/part1/file1.c")).is_ok()
    });
    assert_eq!(digest(&mounted), expected);
}

#[test]
fn with_two_servers_the_death_of_one_is_not_noticed() {
    let (_, mut first) = history();
    let (_, second) = history();
    let also = second.uri("");
    let more = ["--also", also.as_str(), "--timeout", "5s"];
    let mounted = Mounted::attach_with(&first.uri("history"), &more);
    let expected = digest(&mounted);
    first.kill();
    forget_what_was_read();
    assert_eq!(digest(&mounted), expected);
    let status = mounted.status();
    let servers = [0, 1].map(|number| status["relay"]["upstreams"][number]["state"].clone());
    assert_ne!(servers[0], "connected", "{status}");
    assert_eq!(servers[1], "connected", "{status}");
    // The first is not there to ask, and the second knows the name.
    let other = Mounted::attach_with(&first.uri("history"), &more);
    assert_eq!(digest(&other), expected);
    first.start_again();
}

#[test]
fn what_is_here_already_needs_no_server() {
    let (_, mut server) = history();
    let mounted = Mounted::attach(&server.uri("history"));
    let canonical = mounted.status()["export"].as_str().unwrap().to_owned();
    server.kill();
    let place = mounted.state().parent().unwrap().join("second");
    fs::create_dir(&place).unwrap();
    let mut attach = crate::harness::blockd();
    attach.arg("attach").arg(server.uri(&canonical)).arg(&place);
    let mut attaching = attach.arg("--state").arg(mounted.state()).spawn().unwrap();
    // To ask it would have failed at once; a read that nobody has cached waits.
    thread::sleep(Duration::from_secs(1));
    server.start_again();
    assert!(attaching.wait().unwrap().success());
    assert!(place.join("README.md").exists());
    let mut detach = crate::harness::blockd();
    stdout(
        detach
            .arg("detach")
            .arg(&place)
            .arg("--state")
            .arg(mounted.state()),
    );
}

/// A server that does what the guest asks for, a word a connection.
fn obedient(mut server: TestBlockd, end: &Arc<AtomicBool>) -> (u16, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let end = Arc::clone(end);
    let obeying = thread::spawn(move || {
        for stream in listener.incoming() {
            if end.load(Ordering::Relaxed) {
                break;
            }
            let mut stream = stream.unwrap();
            let mut word = String::new();
            BufReader::new(&stream).read_line(&mut word).unwrap();
            match word.trim() {
                "kill" => server.kill(),
                "start" => server.start_again(),
                "stop" => server.signal(Signal::STOP),
                "continue" => server.signal(Signal::CONT),
                other => panic!("the guest asks for {other:?}"),
            }
            stream.write_all(b"done\n").unwrap();
        }
    });
    (port, obeying)
}

#[test]
fn the_kernels_nbd_stands_what_happens_to_the_server() {
    let fixture = Fixture::get("history");
    let (repo, server) = (
        fixture.repo("history"),
        TestBlockd::serve_tcp(fixture.folder()),
    );
    let end = Arc::new(AtomicBool::new(false));
    let server_port = server.port().to_string();
    let (port, obeying) = obedient(server, &end);
    let script = GUEST
        .replace("DIGEST", DIGEST)
        .replace("SERVER", &server_port)
        .replace("CONTROL", &port.to_string());
    let guest = GuestRun::of(&script);
    end.store(true, Ordering::Relaxed);
    drop(std::net::TcpStream::connect(("127.0.0.1", port)));
    let obeyed = obeying.join();
    // What the guest says explains what becomes of the server.
    guest.assert_ended_well();
    obeyed.unwrap();
    let checkout = repo.checkout("main");
    let mut digest = Command::new("sh");
    digest.args(["-c", DIGEST]).current_dir(checkout.path());
    assert_eq!(guest.value("digest:"), stdout(digest.stdin(Stdio::null())));
    let rounds: u32 = guest.value("rounds:").parse().unwrap();
    assert!(rounds > 0);
}

const GUEST: &str = r#"
    please() { test "$(echo $1 | nc 192.0.2.2 CONTROL)" = done; }
    forget() { echo 3 >/proc/sys/vm/drop_caches; }
    mkdir /work /second /third
    blockd attach nbd://192.0.2.2:SERVER/history@main /work --state /run/state --timeout 4s
    blockd attach nbd://192.0.2.2:SERVER/history@main /second --state /run/state
    test "$(grep -c '^/dev/nbd' /proc/mounts)" = 1
    test "$(cat /sys/block/nbd0/queue/read_ahead_kb)" = 1024
    cd /work
    expected=$(DIGEST)
    echo "digest: $expected"

    (for round in 1 2 3; do please kill; sleep 1; please start; sleep 1; done; touch /tmp/done) &
    rounds=0
    while [ ! -e /tmp/done ]; do
        forget
        test -z "$(git status --porcelain)"
        test "$(DIGEST)" = "$expected"
        rounds=$((rounds + 1))
    done
    wait
    echo "rounds: $rounds"

    files=$(find src -type f)
    please stop
    forget
    # The kernel may keep some pages, and the relay what it has read ahead.
    missing=
    for file in $files; do cat $file >/dev/null || { missing=$file; break; }; done
    if [ -z "$missing" ]; then echo "read from nowhere"; exit 1; fi
    if ps -o stat,args | grep '^D'; then echo "somebody hangs"; exit 1; fi
    please continue
    tries=0
    until cat $missing >/dev/null; do
        tries=$((tries + 1))
        test $tries -lt 100
        sleep 0.2
    done
    forget
    test "$(DIGEST)" = "$expected"
    test -z "$(git status --porcelain)"
    cd /

    blockd detach /work --state /run/state
    test "$(cd /second && DIGEST)" = "$expected"
    blockd hydrate /second --wait --state /run/state
    please kill
    forget
    test "$(cd /second && DIGEST)" = "$expected"
    test -z "$(git -C /second status --porcelain)"
    blockd detach /second --state /run/state
    test ! -e /sys/block/nbd0/pid
    test -z "$(find /run/state/lowers /run/state/places -mindepth 1)"
    please start

    blockd relay nbd://192.0.2.2:SERVER/history@main --unix /run/r.sock --pid-file /run/r.pid --daemon
    unshare -n blockd attach 'nbd+unix:///?socket=/run/r.sock' /third --state /run/other --via nbd
    grep -q '^/dev/nbd0 .* ext4 ro' /proc/mounts
    test "$(cd /third && DIGEST)" = "$expected"
    blockd detach /third --state /run/other
    test ! -e /sys/block/nbd0/pid
    kill $(cut -d' ' -f1 /run/r.pid)

    mkdir /block
    blockd attach nbd://192.0.2.2:SERVER/history@main:free=1G /block --state /run/state --cow block
    grep -q '^/dev/nbd0 .* ext4 rw' /proc/mounts
    test "$(cd /block && DIGEST)" = "$expected"
    git -C /block mv src/part1 src/moved
    git -C /block commit -qm moved
    blockd detach /block --state /run/state
    blockd attach nbd://192.0.2.2:SERVER/history@main:free=1G /block --state /run/state
    test -z "$(git -C /block status --porcelain)"
    test -e /block/src/moved/file1.c
    blockd detach /block --state /run/state --discard
    test -z "$(find /run/state/lowers /run/state/places -mindepth 1)"
    blockd doctor --state /run/state
"#;
