//! Running other programs, so that a failure shows everything they said.

use std::{
    env,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Output},
};

use crate::programs::package_of;

/// The interpreter that sees Debian's Python modules; another one may be first
/// on the path.
pub(crate) const DISTRO_PYTHON: &str = "/usr/bin/python3";

/// A program that `tests/setup.sh` installs; missing, it fails the test and says what to install.
pub(crate) fn program(name: &str) -> Command {
    requires(name);
    let mut command = Command::new(name);
    command.env("PATH", search_path()).env("LC_ALL", "C");
    command
}

/// Fails unless the program is there: a test that cannot run has not passed.
pub(crate) fn requires(name: &str) {
    if let Some(package) = missing_package(name) {
        panic!("{name} is missing: run tests/setup.sh, or apt-get install {package}");
    }
}

/// The package to install for this program, when it is not there.
fn missing_package(name: &str) -> Option<&'static str> {
    let found = search_path()
        .split(':')
        .any(|folder| Path::new(folder).join(name).is_file());
    (!found).then(|| package_of(name))
}

/// PATH with the folders of programs for root, which people often lack.
fn search_path() -> String {
    let path = env::var("PATH").unwrap_or_default();
    format!("{path}:/usr/local/sbin:/usr/sbin:/sbin")
}

/// Runs to success, or fails the test with all that was said.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Output {
    let output = output(command);
    assert!(output.status.success(), "{}", transcript(command, &output));
    output
}

/// Runs to success; standard output without its last line break.
#[track_caller]
pub(crate) fn stdout(command: &mut Command) -> String {
    let output = run(command);
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim_end_matches('\n').to_owned()
}

/// Runs to a failure that is an answer, neither a panic nor a signal; gives
/// what it said on standard error.
#[track_caller]
pub(crate) fn fails(command: &mut Command) -> String {
    let output = output(command);
    let code = output.status.code();
    assert!(
        !matches!(code, None | Some(0 | 101)),
        "must fail: {}",
        transcript(command, &output)
    );
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !said.trim().is_empty(),
        "failed without a word: {}",
        transcript(command, &output)
    );
    said
}

#[track_caller]
fn output(command: &mut Command) -> Output {
    match command.output() {
        Ok(output) => output,
        Err(error) => panic!("{}: {error}", command.get_program().display()),
    }
}

fn transcript(command: &Command, output: &Output) -> String {
    format!(
        "{command:?}\nexit code {:?}, signal {:?}\n--- stdout\n{}\n--- stderr\n{}",
        output.status.code(),
        output.status.signal(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    )
}

#[test]
fn a_failure_shows_both_outputs() {
    let mut command = Command::new("sh");
    command.args(["-c", "echo out; echo err >&2; exit 3"]);
    assert_eq!(fails(&mut command), "err\n");
    let output = command.output().unwrap();
    let text = transcript(&command, &output);
    assert!(
        text.contains("Some(3)") && text.contains("out\n") && text.contains("err\n"),
        "{text}"
    );
}

#[test]
#[should_panic(expected = "must fail")]
fn a_signal_is_no_answer() {
    fails(Command::new("sh").args(["-c", "echo dying >&2; kill -9 $$"]));
}
