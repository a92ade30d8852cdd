//! git without the configuration and environment of the user.

use std::{
    env,
    ffi::OsStr,
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
    thread,
};

/// A git command in `directory`, with constant authors and dates, so that
/// commits have the same id every time.
pub(crate) fn command(directory: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(directory)
        .env_clear()
        .env("PATH", env::var_os("PATH").expect("PATH is set"))
        .env("LC_ALL", "C")
        // There are neither attributes nor a configuration below it.
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "A")
        .env("GIT_AUTHOR_EMAIL", "a@example.org")
        .env("GIT_AUTHOR_DATE", "1700000000 +0100")
        .env("GIT_COMMITTER_NAME", "C")
        .env("GIT_COMMITTER_EMAIL", "c@example.org")
        .env("GIT_COMMITTER_DATE", "1700000100 +0100");
    command
}

/// Runs git, which must succeed; returns its standard output.
pub(crate) fn git(directory: &Path, arguments: &[impl AsRef<OsStr>], input: &[u8]) -> Vec<u8> {
    let mut command = command(directory);
    let output = run(command.args(arguments), input);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} fails: {error}");
    output.stdout
}

/// Runs a program with this standard input.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Output {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| {
        panic!(
            "{} must be installed: {error}",
            command.get_program().display()
        )
    });
    let mut stdin = child.stdin.take().expect("its standard input is a pipe");
    thread::scope(|scope| {
        // A program may end without reading all of its input.
        scope.spawn(move || drop(stdin.write_all(input)));
        child
            .wait_with_output()
            .expect("the program can be waited for")
    })
}
