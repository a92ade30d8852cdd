//! `agent boot` as a machine runs it, with a disk and a workspace of its own.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{
    blockd::{binary, built},
    git::hermetic,
    mounted::requires_mounting,
};

/// Longer than a slow machine needs; a wait that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(120);
const TOKEN: &str = "0123456789abcdef0123";

/// `agent`, newly built (or the one that `AGENT` names).
pub(crate) fn agent() -> Command {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    let program =
        BINARY.get_or_init(|| env::var_os("AGENT").map_or_else(|| built("agent"), PathBuf::from));
    let mut command = hermetic(program);
    command.env("AGENT_TOKEN", TOKEN);
    command
}

/// A machine that stops with its test.
pub(crate) struct TestMachine {
    folder: TempDir,
    child: Option<Child>,
}

impl TestMachine {
    /// One that has never run.
    #[track_caller]
    pub(crate) fn new() -> Self {
        requires_mounting();
        let folder = tempfile::tempdir().unwrap();
        for name in ["home", "workspace"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self {
            folder,
            child: None,
        }
    }

    /// Boots it with options of `agent boot`, of `agent serve`, and an
    /// environment.
    pub(crate) fn boot(&mut self, boot: &[&str], serve: &[&str], more: &[(&str, &str)]) {
        let mut command = agent();
        command.arg("boot").args(boot);
        command.arg("--workspace").arg(self.workspace());
        command.arg("--state").arg(self.state());
        command.arg("--blockd").arg(binary());
        command.args(["--", "--listen", "127.0.0.1:0"]).args(serve);
        // What a person's shell does at its start is not of this machine.
        command
            .env("HOME", self.home())
            .env("CODEX_HOME", self.home());
        command.envs(more.iter().copied());
        let log = |name| File::create(self.folder.path().join(name)).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(log("out"))
            .stderr(log("log"));
        self.child = Some(command.spawn().unwrap());
    }

    /// Waits until it serves; the URL.
    #[track_caller]
    pub(crate) fn url(&mut self) -> String {
        self.said("serving ")
    }

    /// Waits until exercises can be laid out; the URL.
    #[track_caller]
    pub(crate) fn ground(&mut self) -> String {
        self.said("exercises at ")
    }

    #[track_caller]
    fn said(&mut self, before: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let out = fs::read_to_string(self.folder.path().join("out")).unwrap();
            let lines = out
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'));
            let mut told =
                lines.filter_map(|line| line.split_once(before)?.1.split_once("http://"));
            if let Some((_, rest)) = told.next() {
                let host = rest.split(['/', '\n']).next().unwrap();
                return format!("http://{host}");
            }
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "it has ended: {ended:?}\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
        panic!("it does not serve:\n{}", self.log());
    }

    /// Waits until its log has these words.
    #[track_caller]
    pub(crate) fn logs(&self, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(words) {
            assert!(Instant::now() < deadline, "no {words}:\n{}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let child = self.child.as_mut().expect("it runs");
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = child.try_wait().unwrap() {
                self.child = None;
                return status;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("it does not end:\n{}", self.log());
    }

    /// Stops it, as the platform does.
    #[track_caller]
    pub(crate) fn stop(&mut self) -> ExitStatus {
        let pid = Pid::from_child(self.child.as_ref().expect("it runs"));
        kill_process(pid, Signal::TERM).unwrap();
        self.ended()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    pub(crate) fn workspace(&self) -> PathBuf {
        self.folder.path().join("workspace")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Whether anything of it is mounted.
    pub(crate) fn has_mounts(&self) -> bool {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        mounts.contains(self.folder.path().to_str().unwrap())
    }

    /// Another machine takes over: what was on this one's disk is gone.
    pub(crate) fn replaced(&self) {
        remove(&self.state());
    }
}

fn remove(folder: &Path) {
    fs::remove_dir_all(folder).unwrap();
}

impl Drop for TestMachine {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- log of the machine\n{}---", self.log());
        }
        if self.child.is_some() && !thread::panicking() {
            self.stop();
        } else if let Some(mut child) = self.child.take() {
            // Its mounts go only if it takes them down itself.
            let _told = kill_process(Pid::from_child(&child), Signal::TERM);
            drop(child.wait());
        }
    }
}
