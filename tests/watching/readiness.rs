//! `/healthz` and `/readyz`.

use std::{fs, path::Path};

use tempfile::TempDir;

use super::{Response, get};
use crate::harness::{Fixture, TestBlockd, program, requires_mounting, run};

/// A file system of 2 MiB in memory.
struct Small(TempDir);

impl Small {
    fn mount() -> Self {
        requires_mounting();
        let small = Self(tempfile::tempdir().unwrap());
        let mount = ["-t", "tmpfs", "-o", "size=2m", "blockd-test"];
        run(program("mount").args(mount).arg(small.path()));
        small
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn remount(&self, mode: &str) {
        let options = format!("remount,{mode}");
        run(program("mount").arg("-o").arg(options).arg(self.path()));
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        drop(program("umount").arg("-l").arg(self.path()).status());
    }
}

fn serve(repos: &Path, state: &Path) -> TestBlockd {
    TestBlockd::serve_watched(repos, state)
}

#[track_caller]
fn assert_ready(server: &TestBlockd) {
    let Response { status, body, .. } = get(server, "/readyz");
    assert_eq!((status, body.as_str()), (200, "ready\n"));
}

#[track_caller]
fn assert_not_ready(server: &TestBlockd, reason: &str) {
    let Response { status, body, .. } = get(server, "/readyz");
    assert_eq!((status, body.trim_end()), (503, reason));
    let Response { status, body, .. } = get(server, "/healthz");
    assert_eq!((status, body.as_str()), (200, "ok\n"));
}

#[test]
fn a_state_directory_that_is_full_or_cannot_be_written() {
    let small = Small::mount();
    let server = serve(Fixture::get("history").folder(), small.path());
    assert_ready(&server);
    let ballast = small.path().join("ballast");
    // As much as there is.
    let written = fs::write(&ballast, vec![1; 4 << 20]);
    assert!(written.is_err(), "it is not full");
    assert_not_ready(
        &server,
        "--state is full: No space left on device (os error 28)",
    );
    fs::remove_file(ballast).unwrap();
    assert_ready(&server);
    small.remount("ro");
    assert_not_ready(
        &server,
        "cannot write to --state: Read-only file system (os error 30)",
    );
    small.remount("rw");
    assert_ready(&server);
}

#[test]
fn repositories_that_are_gone() {
    let place = tempfile::tempdir().unwrap();
    let (repos, elsewhere) = (place.path().join("repos"), place.path().join("elsewhere"));
    fs::create_dir(&repos).unwrap();
    let server = serve(&repos, &place.path().join("state"));
    assert_ready(&server);
    fs::rename(&repos, &elsewhere).unwrap();
    assert_not_ready(
        &server,
        "cannot read --repos: No such file or directory (os error 2)",
    );
    fs::rename(&elsewhere, &repos).unwrap();
    assert_ready(&server);
}
