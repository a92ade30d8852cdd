//! What tests need of the host: mounts, loop devices and nbdkit. Each ends with
//! its test.

use std::{
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::mount::{UnmountFlags, unmount};

use crate::harness::{Bench, output, poll_until};

/// Runs a program that must succeed; returns its output.
pub(crate) fn run(program: &str, arguments: &[&Path]) -> String {
    let (done, text, said) = output(Command::new(program).args(arguments));
    assert!(done, "{program} {arguments:?}: {text}{said}");
    text
}

/// A mount, unmounted in the end.
pub(crate) struct Mount(pub(crate) PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        let _gone = unmount(&self.0, UnmountFlags::DETACH);
    }
}

/// A loop device on the relay's file.
pub(crate) struct Loop(pub(crate) PathBuf);

impl Loop {
    pub(crate) async fn on(file: &Path) -> Self {
        poll_until("the file exists", async || file.exists()).await;
        let device = run("losetup", &["-f".as_ref(), "--show".as_ref(), file]);
        Self(device.trim().into())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _cleared = Command::new("losetup").arg("-d").arg(&self.0).output();
    }
}

/// nbdkit, killed in the end.
pub(crate) struct Nbdkit(Child);

impl Nbdkit {
    pub(crate) async fn serve(bench: &Bench, arguments: &[&str]) -> Self {
        let socket = bench.socket("nbdkit");
        let _old = fs::remove_file(&socket);
        let child = Command::new("nbdkit")
            .args(["--foreground", "--readonly", "--unix"])
            .arg(&socket)
            .args(arguments)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        poll_until("nbdkit listens", async || {
            UnixStream::connect(&socket).is_ok()
        })
        .await;
        Self(child)
    }
}

impl Drop for Nbdkit {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
