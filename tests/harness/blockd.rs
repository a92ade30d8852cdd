//! The program under test, and a server of it that ends with its test.

use std::{
    env,
    ffi::OsString,
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{OnceLock, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{
    command::{fails, run, stdout},
    fixture::{Fixture, TestRepo},
    git::hermetic,
};

/// Longer than a slow machine needs; a wait that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// `blockd`, newly built (or the one that `BLOCKD` names).
pub(crate) fn blockd() -> Command {
    hermetic(binary())
}

/// Where it is. `cargo test` builds no binary of another package, so this does.
pub(crate) fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| env::var_os("BLOCKD").map_or_else(|| built("blockd"), PathBuf::from))
}

/// A program of another package, newly built.
pub(super) fn built(package: &str) -> PathBuf {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    // With the tests: then its dependencies are what they are for these.
    build.args(["build", "--quiet", "--workspace", "--bins", "--tests"]);
    // This program is target/PROFILE/deps/e2e-HASH.
    let profile = env::current_exe()
        .unwrap()
        .ancestors()
        .nth(2)
        .unwrap()
        .to_owned();
    if profile.ends_with("release") {
        build.arg("--release");
    }
    run(build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")));
    profile.join(package)
}

/// A running `blockd serve`, on a unix socket of its own unless told otherwise.
pub(crate) struct TestBlockd {
    child: Child,
    folder: TempDir,
    ready: String,
    /// With `--http`: where it shows itself, `HOST:PORT`.
    watched: Option<String>,
    arguments: Vec<OsString>,
}

impl TestBlockd {
    /// Serves these repositories, with a state folder that goes with the server.
    #[track_caller]
    pub(crate) fn serve(repos: &Path) -> Self {
        Self::start(repos, None, &[])
    }

    /// With a state folder that stays.
    #[track_caller]
    pub(crate) fn serve_with_state(repos: &Path, state: &Path) -> Self {
        Self::start(repos, Some(state), &[])
    }

    /// With a state folder that stays, shown by HTTP.
    #[track_caller]
    pub(crate) fn serve_watched(repos: &Path, state: &Path) -> Self {
        Self::start(repos, Some(state), &["--http", "127.0.0.1:0"])
    }

    /// On a free port of the loopback too.
    #[track_caller]
    pub(crate) fn serve_tcp(repos: &Path) -> Self {
        Self::start(repos, None, &["--listen", "127.0.0.1:0"])
    }

    /// On a free port of all addresses, IPv6 and IPv4.
    #[track_caller]
    pub(crate) fn serve_everywhere(repos: &Path) -> Self {
        Self::start(repos, None, &["--listen", "[::]:0"])
    }

    /// On a free port of the loopback, with TLS as these arguments have it.
    #[track_caller]
    pub(crate) fn serve_tls(repos: &Path, tls: &[&str]) -> Self {
        Self::start(repos, None, &[tls, &["--listen", "127.0.0.1:0"]].concat())
    }

    /// With these arguments too.
    #[track_caller]
    pub(crate) fn serve_with(repos: &Path, more: &[&str]) -> Self {
        Self::start(repos, None, more)
    }

    /// May open so many files, sockets among them.
    #[track_caller]
    pub(crate) fn serve_with_open_files(repos: &Path, limit: u32) -> Self {
        let limited = |arguments: &[OsString], folder: &Path| {
            let mut shell = hermetic("sh");
            shell
                .arg("-c")
                .arg(format!("ulimit -n {limit}; exec \"$0\" \"$@\""))
                .arg(binary());
            spawn(shell.args(arguments), folder)
        };
        Self::start_by(repos, None, &[], limited)
    }

    #[track_caller]
    fn start(repos: &Path, state: Option<&Path>, more: &[&str]) -> Self {
        Self::start_by(repos, state, more, start_blockd)
    }

    #[track_caller]
    fn start_by(
        repos: &Path,
        state: Option<&Path>,
        more: &[&str],
        spawn: impl FnOnce(&[OsString], &Path) -> Child,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let own_state = folder.path().join("state");
        let mut arguments: Vec<OsString> = vec!["serve".into(), "--repos".into(), repos.into()];
        arguments.extend(["--state".into(), state.unwrap_or(&own_state).into()]);
        arguments.extend(more.iter().map(OsString::from));
        if !more.contains(&"--listen") {
            arguments.extend(["--unix".into(), folder.path().join("socket").into()]);
        }
        let child = spawn(&arguments, folder.path());
        let mut server = Self {
            child,
            folder,
            ready: String::new(),
            watched: None,
            arguments,
        };
        server.wait_until_ready();
        server
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it, as a crash does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it anew after a kill, where it was.
    #[track_caller]
    pub(crate) fn start_again(&mut self) {
        if !self.ready.contains("nbd+unix://") {
            let (last, listen) = (
                self.arguments.len() - 1,
                format!("127.0.0.1:{}", self.port()),
            );
            self.arguments[last] = listen.into();
        }
        self.child = start_blockd(&self.arguments, self.folder.path());
        self.wait_until_ready();
    }

    /// Stops it for a while, or lets it go on.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Where it shows itself, `HOST:PORT`.
    #[track_caller]
    pub(crate) fn watched(&self) -> &str {
        self.watched.as_deref().expect("started with --http")
    }

    /// The first line with a URI, and the one with the address of `--http`; the rest
    /// is read too, so that a server that says more never blocks.
    #[track_caller]
    fn wait_until_ready(&mut self) {
        let lines = BufReader::new(self.child.stdout.take().unwrap()).lines();
        let (send, receive) = mpsc::channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // After those that are waited for nobody listens any more.
                drop(send.send(line));
            }
        });
        let next = |sign: &str| loop {
            let line = receive.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| {
                panic!(
                    "blockd serve said nothing with {sign}; its log:\n{}",
                    self.log()
                )
            });
            if line.contains(sign) {
                return line;
            }
        };
        let ready = next("serving nbd");
        let has_http = self.arguments.iter().any(|argument| argument == "--http");
        let watched = has_http.then(|| next("http://"));
        self.watched = watched.map(|line| {
            let (_, address) = line.split_once("http://").expect("it has one");
            address.trim_end_matches('/').to_owned()
        });
        self.ready = ready;
    }

    /// The current directory it was started in, where nothing else is.
    pub(crate) fn started_in(&self) -> PathBuf {
        started_in(self.folder.path())
    }

    /// What it wrote to standard error.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// The URI of an export on the unix socket.
    pub(crate) fn uri(&self, export: &str) -> String {
        format!(
            "nbd+unix:///{}?socket={}",
            escaped(export),
            self.socket().display()
        )
    }

    /// The port of a server started by [`Self::serve_tcp`].
    #[track_caller]
    pub(crate) fn port(&self) -> u16 {
        let (_, after) = self.ready.split_once("://").expect("a URI");
        let authority = after.split(['/', ' ', '?']).next().unwrap();
        let (_, port) = authority.rsplit_once(':').expect("a port in the URI");
        port.parse().unwrap()
    }

    /// Asks it to end, and gives it time to; fails when it does not end well.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        self.terminate();
    }

    #[track_caller]
    fn terminate(&mut self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(
                    status.success(),
                    "blockd serve: {status}; its log:\n{}",
                    self.log()
                );
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("blockd serve ignores SIGTERM; its log:\n{}", self.log());
    }
}

impl Drop for TestBlockd {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) && !thread::panicking() {
            return;
        }
        if thread::panicking() {
            eprintln!("--- log of blockd serve\n{}---", self.log());
            drop(self.child.kill());
            drop(self.child.wait());
        } else {
            self.terminate();
        }
    }
}

fn start_blockd(arguments: &[OsString], folder: &Path) -> Child {
    spawn(blockd().args(arguments), folder)
}

fn spawn(command: &mut Command, folder: &Path) -> Child {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .unwrap();
    let started_in = started_in(folder);
    fs::create_dir_all(&started_in).unwrap();
    command
        .current_dir(started_in)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn started_in(folder: &Path) -> PathBuf {
    folder.join("started-in")
}

/// The repository of the fixture `history`, and a server of it.
#[track_caller]
pub(crate) fn history() -> (TestRepo, TestBlockd) {
    let fixture = Fixture::get("history");
    let server = TestBlockd::serve(fixture.folder());
    (fixture.repo("history"), server)
}

/// An export name as a URI has it.
pub(crate) fn escaped(name: &str) -> String {
    name.bytes().fold(String::new(), |mut uri, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/@:=".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            write!(uri, "%{byte:02X}").unwrap();
        }
        uri
    })
}

#[test]
fn says_its_version_and_refuses_what_it_does_not_know() {
    assert!(stdout(blockd().arg("--version")).starts_with("blockd "));
    assert!(fails(blockd().arg("nonsense")).contains("nonsense"));
}

#[test]
fn drains_and_ends_well_on_sigterm() {
    let (_repo, server) = history();
    server.stop();
}
