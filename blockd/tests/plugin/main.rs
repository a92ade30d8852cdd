//! `blockd plugin docker`, judged by Debian's dockerd, with containers that have no
//! privileges. They must be run as root.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

/// Runs a script in a mount namespace of its own, with a directory of its own.
#[track_caller]
fn passes(script: &str) {
    assert!(
        rustix::process::geteuid().is_root(),
        "dockerd and attach mount file systems: run these tests as root"
    );
    let folder = tempfile::tempdir().unwrap();
    let here = env!("CARGO_MANIFEST_DIR");
    let output = Command::new("unshare")
        .args(["--mount", "sh", &format!("{here}/tests/plugin/{script}")])
        .arg(env!("CARGO_BIN_EXE_blockd"))
        .arg(folder.path())
        .arg(format!("{here}/examples"))
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn unprivileged_containers_work_in_volumes() {
    passes("work.sh");
}

#[test]
fn what_dies_comes_back() {
    passes("failures.sh");
}
