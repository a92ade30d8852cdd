use std::{
    ffi::OsString,
    num::NonZeroU16,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Signal, kill_process, test_kill_process};

use super::{Command, Exit, Output, Pty, Reaper, WriteError, kill_descendants};

/// What takes longer hangs.
const DEADLINE: Duration = Duration::from_secs(120);

fn command(script: &str) -> Command {
    Command {
        owner: None,
        words: ["sh", "-c", script].map(OsString::from).to_vec(),
        directory: "/".into(),
        environment: vec![
            ("PATH".into(), "/usr/bin:/bin".into()),
            (
                "MARK".into(),
                format!("{:?}", thread::current().id()).into(),
            ),
        ],
        rows: NonZeroU16::new(40).unwrap(),
        columns: NonZeroU16::new(120).unwrap(),
    }
}

/// Reads until the output ends with this.
fn read_until(output: &mut Output, text: &str) {
    let (mut seen, mut byte) = (Vec::new(), [0]);
    while !seen.ends_with(text.as_bytes()) {
        output.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
}

fn read_all(mut output: Output) -> String {
    let mut text = Vec::new();
    output.read_to_end(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_program_runs_in_a_terminal_of_its_own() {
    let script = "stty size; echo $(ps -o sid= -p $$) $$; env | sort | head -3; exit 7";
    let (pty, output) = Pty::spawn(&command(script)).unwrap();
    let text = read_all(output);
    assert!(text.starts_with("40 120\r\n"), "{text}");
    let ids: Vec<_> = text.lines().nth(1).unwrap().split(' ').collect();
    assert_eq!(ids[0], ids[1], "session leader");
    assert!(text.contains("MARK="), "{text}");
    assert!(!text.contains("CARGO"), "{text}");
    assert_eq!(pty.ended().await, Exit::Code(7));
}

#[tokio::test]
async fn what_is_written_arrives_in_order() {
    let script = "stty raw -echo; echo ready; head -c 40000 | md5sum";
    let (pty, mut output) = Pty::spawn(&command(script)).unwrap();
    read_until(&mut output, "ready");
    for _ in 0..4 {
        pty.writer()
            .write(vec![b'x'; 10_000], DEADLINE, |_| {})
            .await
            .unwrap();
    }
    let text = read_all(output);
    assert!(text.contains("33766cd480de06a6b2e053eb8f67583e"), "{text}");
    assert_eq!(pty.ended().await, Exit::Code(0));
}

#[tokio::test]
async fn a_program_that_does_not_read_hangs() {
    let script = "stty raw -echo; echo raw; exec sleep 600";
    let (pty, mut output) = Pty::spawn(&command(script)).unwrap();
    // Without raw mode the line discipline would discard what exceeds a line.
    read_until(&mut output, "raw");
    let short = Duration::from_millis(300);
    let hung = pty.writer().write(vec![b'x'; 100_000], short, |_| {}).await;
    assert!(matches!(hung, Err(WriteError::Hangs(_))), "{hung:?}");
    pty.signal(Signal::KILL);
    assert_eq!(pty.ended().await, Exit::Signal("Killed".to_owned()));
    drop(output);
    let ended = pty.writer().write(vec![b'x'], short, |_| {}).await;
    assert!(matches!(ended, Err(WriteError::Ended)), "{ended:?}");
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let mut command = command("");
    command.words = vec!["no-such-program".into()];
    let error = Pty::spawn(&command).map(drop).unwrap_err().to_string();
    assert!(error.contains("no-such-program"), "{error}");
}

#[tokio::test]
async fn descendants_are_killed_wherever_they_went() {
    let marker = format!("AGENT_TEST={}", std::process::id());
    let mut command = command(
        "setsid sh -c 'echo moved; exec sleep 601' & (setsid sh -c 'echo moved; exec sleep 602' &); sleep 603 & wait",
    );
    let (name, value) = marker.split_once('=').unwrap();
    command.environment.push((name.into(), value.into()));
    let (pty, mut output) = Pty::spawn(&command).unwrap();
    read_until(&mut output, "moved");
    read_until(&mut output, "moved");
    pty.signal(Signal::KILL);
    pty.ended().await;
    let pid = pty.pid();
    let kill = move || {
        let killed = kill_descendants(pid, &marker).unwrap();
        (killed, kill_descendants(pid, &marker).unwrap())
    };
    let (killed, left) = tokio::task::spawn_blocking(kill).await.unwrap();
    // The third may have ended by the SIGHUP for its terminal.
    assert!(killed >= 2, "only {killed} were killed");
    assert_eq!(left, 0);
    read_all(output);
}

#[tokio::test]
async fn a_stopped_program_is_continued() {
    let (pty, _output) = Pty::spawn(&command("exec sleep 600")).unwrap();
    let reaper = Reaper::default();
    *reaper.program() = Some(pty.pid());
    assert!(!reaper.continue_stopped());
    kill_process(pty.pid(), Signal::STOP).unwrap();
    let began = Instant::now();
    while !reaper.continue_stopped() {
        assert!(began.elapsed() < DEADLINE, "it is never seen as stopped");
        thread::sleep(Duration::from_millis(10));
    }
    test_kill_process(pty.pid()).unwrap();
    pty.signal(Signal::KILL);
    pty.ended().await;
}
