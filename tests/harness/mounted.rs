//! An attached export that is detached with its test.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use rustix::process::geteuid;
use serde_json::Value;
use tempfile::TempDir;

use super::{
    blockd::blockd,
    command::{program, requires, run, stdout},
    git::git,
};

/// A mounted export; the diff and the mount point are in a folder of its own.
pub(crate) struct Mounted {
    folder: TempDir,
}

impl Mounted {
    /// `blockd attach URI MOUNTPOINT`.
    #[track_caller]
    pub(crate) fn attach(uri: &str) -> Self {
        Self::attach_with(uri, &[])
    }

    /// With more arguments.
    #[track_caller]
    pub(crate) fn attach_with(uri: &str, arguments: &[&str]) -> Self {
        let mounted = Self::nowhere();
        run(mounted.attach_command(uri).args(arguments));
        mounted
    }

    /// As sudo calls it for another person.
    #[track_caller]
    pub(crate) fn attach_as_sudo(uri: &str, uid: u32, gid: u32) -> Self {
        let mounted = Self::nowhere();
        let mut command = mounted.attach_command(uri);
        run(command
            .env("SUDO_UID", uid.to_string())
            .env("SUDO_GID", gid.to_string()));
        mounted
    }

    /// At the same place, with the diff that is there.
    #[track_caller]
    pub(crate) fn attach_again(&self, uri: &str) {
        run(&mut self.attach_command(uri));
    }

    /// A mount point with nothing mounted.
    #[track_caller]
    pub(crate) fn nowhere() -> Self {
        requires_mounting();
        let mounted = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(mounted.path()).unwrap();
        mounted
    }

    /// For the tests' own user, who may have come here through sudo.
    pub(crate) fn attach_command(&self, uri: &str) -> Command {
        let mut command = blockd();
        command
            .env_remove("SUDO_UID")
            .env_remove("SUDO_GID")
            .env_remove("SUDO_USER");
        command
            .arg("attach")
            .arg(uri)
            .arg(self.path())
            .arg("--state")
            .arg(self.state());
        command
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("mnt")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// `git -C` the mounted tree.
    pub(crate) fn git(&self, arguments: &[&str]) -> Command {
        let mut command = git(&self.path());
        command.args(arguments);
        command
    }

    /// `git status` says nothing.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        let status = stdout(&mut self.git(&["status", "--porcelain"]));
        assert_eq!(status, "", "git status");
    }

    /// What `blockd status --json` says of it.
    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        let mut command = blockd();
        command.args(["status", "--json"]).arg(self.path());
        let said = stdout(command.arg("--state").arg(self.state()));
        let said: Value = serde_json::from_str(&said).unwrap();
        said["attachments"][0].clone()
    }

    pub(crate) fn detach_command(&self) -> Command {
        let mut command = blockd();
        command
            .arg("detach")
            .arg(self.path())
            .arg("--state")
            .arg(self.state());
        command
    }

    /// `blockd detach`, which must leave no mount behind.
    #[track_caller]
    pub(crate) fn detach(&self) {
        run(&mut self.detach_command());
        self.assert_gone();
    }

    #[track_caller]
    fn assert_gone(&self) {
        self.assert_gone_within(Duration::ZERO);
    }

    /// No mount is left, and no loop device, now or soon.
    #[track_caller]
    pub(crate) fn assert_gone_within(&self, time: Duration) {
        let deadline = Instant::now() + time;
        while !self.left().is_empty() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(50));
        }
        let left = self.left();
        assert!(left.is_empty(), "left behind: {left:#?}");
    }

    /// Mounts and loop devices of this attachment.
    fn left(&self) -> Vec<String> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let loops = stdout(program("losetup").arg("--list"));
        let folder = self.folder.path().to_str().unwrap();
        let lines = mounts.lines().chain(loops.lines());
        lines
            .filter(|line| line.contains(folder))
            .map(str::to_owned)
            .collect()
    }

    fn is_mounted(&self) -> bool {
        let path = self.path();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        mounts
            .lines()
            .any(|line| line.split(' ').nth(4) == path.to_str())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if !self.is_mounted() {
            return;
        }
        if thread::panicking() {
            drop(self.detach_command().args(["--discard", "--lazy"]).output());
        } else {
            self.detach();
        }
    }
}

/// Attaching mounts, which takes root, FUSE and loop devices.
pub(crate) fn requires_mounting() {
    assert!(
        geteuid().is_root(),
        "this test mounts: run it as root (make test calls sudo)"
    );
    requires("losetup");
    requires("mount");
    for device in ["/dev/fuse", "/dev/loop-control"] {
        assert!(
            Path::new(device).exists(),
            "{device} is missing: modprobe fuse loop"
        );
    }
}
