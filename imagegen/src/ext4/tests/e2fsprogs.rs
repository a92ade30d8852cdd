//! The programs that judge.

use std::{env, path::Path, process::Command};

/// What a program says to standard output and to standard error. It must be
/// there, and must succeed.
pub(super) fn run(program: &str, arguments: &[&str], image: &Path) -> (String, String) {
    let path = format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default());
    let output = Command::new(program)
        .args(arguments)
        .arg(image)
        .env("PATH", path)
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .output()
        .unwrap_or_else(|error| panic!("{program} of e2fsprogs must be installed: {error}"));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success(),
        "{program}: {}\n{stdout}{stderr}",
        output.status
    );
    (stdout, stderr)
}

/// `e2fsck -fn` succeeds and has nothing to say. Its status alone would not
/// do: it is 0 for wrong counts too.
pub(super) fn assert_clean(image: &Path) {
    let (stdout, stderr) = run("e2fsck", &["-fn"], image);
    let summary = |line: &str| line.contains(" files (") && line.ends_with(" blocks");
    for line in stdout.lines() {
        assert!(
            line.starts_with("Pass ") || summary(line),
            "e2fsck: {stdout}"
        );
    }
    assert_eq!(stdout.lines().count(), 6, "e2fsck: {stdout}");
    assert_eq!(stderr.lines().count(), 1, "e2fsck: {stderr}");
    assert!(stderr.starts_with("e2fsck "), "e2fsck: {stderr}");
}
