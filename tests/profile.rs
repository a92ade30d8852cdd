//! What one session reads first, the next finds read.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Fixture, Mounted, TestBlockd, blockd, fails, program, stdout};

/// Longer than a slow machine needs; a wait that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(30);

const READ: &str = "src/part3/file3.c";
const ANOTHER: &str = "src/part4/file4.c";

fn record(mounted: &Mounted, time: &str) -> Command {
    let mut command = blockd();
    command.args(["profile", "record", "--json", "--for", time]);
    command
        .arg(mounted.path())
        .arg("--state")
        .arg(mounted.state());
    command
}

/// Whether the kernel holds all of a file's pages.
fn is_in_memory(path: &Path) -> bool {
    let said = stdout(
        program("fincore")
            .args(["-b", "-n", "-r", "-o", "RES,SIZE"])
            .arg(path),
    );
    let (held, size) = said.trim().split_once(' ').expect("fincore: RES SIZE");
    held.parse::<u64>().unwrap() >= size.parse::<u64>().unwrap()
}

#[test]
fn what_a_session_opens_is_read_ahead_for_the_next() {
    let server = TestBlockd::serve(Fixture::get("history").folder());
    let mounted = Mounted::attach(&server.uri("history@main"));
    let recording = record(&mounted, "60s")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Opened again and again: when the recording has begun, nobody says.
    let opened = mounted.path().join(READ);
    let reading = Instant::now();
    while reading.elapsed() < Duration::from_secs(3) {
        fs::read(&opened).unwrap();
        thread::sleep(Duration::from_millis(20));
    }
    kill_process(Pid::from_child(&recording), Signal::INT).unwrap();
    let output = recording.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && said.contains("\"files\":1"),
        "{said}"
    );
    mounted.detach();

    // Another commit, of which nobody has read anything.
    let next = Mounted::attach(&server.uri("history@main~1"));
    let deadline = Instant::now() + PATIENCE;
    while !is_in_memory(&next.path().join(READ)) {
        assert!(
            Instant::now() < deadline,
            "{READ} is not read ahead; {}",
            server.log()
        );
        thread::sleep(Duration::from_millis(50));
    }
    assert!(
        !is_in_memory(&next.path().join(ANOTHER)),
        "everything is read"
    );
    next.detach();
}

#[test]
fn a_recording_of_nothing_or_nowhere_says_so() {
    let server = TestBlockd::serve(Fixture::get("history").folder());
    let mounted = Mounted::attach(&server.uri("history@main"));
    let said = fails(&mut record(&mounted, "1s"));
    assert!(said.contains("no file of the commit was opened"), "{said}");
    mounted.detach();
    let said = fails(&mut record(&mounted, "1s"));
    assert!(said.contains("nothing is attached"), "{said}");
}
