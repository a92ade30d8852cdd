//! The programs of e2fsprogs.

use std::{env, path::Path, process::Command};

/// Runs a program on an image, which must succeed; returns its standard output
/// and standard error.
pub(crate) fn run(program: &str, arguments: &[&str], image: &Path) -> (String, String) {
    let path = env::var("PATH").expect("PATH is set");
    let output = Command::new(program)
        .args(arguments)
        .arg(image)
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
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

/// Checks that `e2fsck -fn` succeeds and reports nothing but its passes and the
/// summary. Its exit status alone is also 0 for wrong counts.
pub(crate) fn assert_clean(image: &Path) {
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
