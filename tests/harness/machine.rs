//! `agent boot` as a machine runs it, with a home and a state directory of its own.

use std::{
    env,
    fs::{self, File},
    os::unix::fs::PermissionsExt,
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

/// A wait of this length has failed, even on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(120);
pub(crate) const TOKEN: &str = "0123456789abcdef0123";

/// The program `agent` as it was built, or the one that `AGENT` names.
pub(crate) fn agent() -> Command {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    let program =
        BINARY.get_or_init(|| env::var_os("AGENT").map_or_else(|| built("agent"), PathBuf::from));
    let mut command = hermetic(program);
    command.env("AGENT_TOKEN", TOKEN);
    command
}

/// A machine, which is stopped when it is dropped.
pub(crate) struct TestMachine {
    folder: TempDir,
    child: Option<Child>,
}

impl TestMachine {
    /// A machine that has never run.
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

    /// Lets all users into its folder, as into the root of a machine.
    pub(crate) fn is_open_to_all(&self) {
        fs::set_permissions(self.folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// Boots it with options of `agent boot` and `agent serve`, and variables of the
    /// environment.
    pub(crate) fn boot(&mut self, boot: &[&str], serve: &[&str], more: &[(&str, &str)]) {
        let mut command = agent();
        command.arg("boot").args(boot);
        command.arg("--workspace").arg(self.workspace());
        command.arg("--state").arg(self.state());
        command.arg("--blockd").arg(binary());
        command
            .arg("--")
            .args(serve)
            .env("AGENT_LISTEN", "127.0.0.1:0");
        // Not the home, nor the codex, of whoever runs the tests.
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

    /// Waits until its agent serves; the URL.
    #[track_caller]
    pub(crate) fn url(&mut self) -> String {
        self.url_after("serving ")
    }

    /// Waits until `agent exercises` serves; the URL.
    #[track_caller]
    pub(crate) fn exercises(&mut self) -> String {
        self.url_after("exercises at ")
    }

    #[track_caller]
    fn url_after(&mut self, words: &str) -> String {
        let deadline = Instant::now() + TIMEOUT;
        while Instant::now() < deadline {
            let out = fs::read_to_string(self.folder.path().join("out")).unwrap();
            let lines = out
                .split_inclusive('\n')
                .filter(|line| line.ends_with('\n'));
            let mut urls = lines.filter_map(|line| line.split_once(words)?.1.split_once("http://"));
            if let Some((_, rest)) = urls.next() {
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
        let deadline = Instant::now() + TIMEOUT;
        while !self.log().contains(words) {
            assert!(Instant::now() < deadline, "no {words}:\n{}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until it has ended.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let child = self.child.as_mut().expect("the machine runs");
        let deadline = Instant::now() + TIMEOUT;
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
        let pid = Pid::from_child(self.child.as_ref().expect("the machine runs"));
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

    /// Replaces it by another machine, which has nothing of this one's disk.
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
            // Only the machine itself detaches its work tree. It may have ended, which
            // must not be a second panic.
            let _ended = kill_process(Pid::from_child(&child), Signal::TERM);
            drop(child.wait());
        }
    }
}
