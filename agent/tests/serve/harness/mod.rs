//! A server for one test, and its clients.

mod client;
mod disk;
mod process;
mod terminal;

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{BufRead, BufReader},
    os::unix::fs::{FileExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::{TempDir, tempdir};

pub(crate) use self::client::{Mcp, OneId, text_of};
pub(crate) use self::process::{children, open_files, resident, signal, state_of};
pub(crate) use self::terminal::{Terminal, read_until, type_keys};

pub(crate) const AGENT: &str = env!("CARGO_BIN_EXE_agent");
pub(crate) const FAKE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fake/codex");
pub(crate) const TOKEN: &str = "0123456789abcdef0123";

/// The program, which gets a SIGTERM when the thread of its test ends, even by a kill.
const AGENT_OF_TEST: [&str; 4] = ["setpriv", "--pdeathsig", "TERM", AGENT];

/// The length of the lines that the fake codex floods with.
pub(crate) const LINE: usize = 65536;

/// How long anything may take; what takes longer hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// A server that is about to be started.
pub(crate) struct Launch {
    home: TempDir,
    with_token: bool,
    pub(crate) command: Command,
}

impl Launch {
    /// Runs this terminal program, in a home and a workspace of its own.
    pub(crate) fn of(program: &str) -> Self {
        Self::wrapped(&[], program)
    }

    /// The same, run by a shell, whose `$0` is the directory of the logs.
    pub(crate) fn wrapped(wrapper: &[&str], program: &str) -> Self {
        let home = tempdir().unwrap();
        let path = |name: &str| home.path().join(name);
        fs::create_dir(path("work")).unwrap();
        fs::create_dir(path("codex")).unwrap();
        fs::write(path("token"), TOKEN).unwrap();
        let mut words: Vec<_> = wrapper.iter().map(OsString::from).collect();
        if !wrapper.is_empty() {
            words.push(path("logs").into());
        }
        words.extend(AGENT_OF_TEST.map(OsString::from));
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command.args(["serve", "--listen", "127.0.0.1:0", "--command", program]);
        command.arg("--workspace").arg(path("work"));
        command.arg("--log-dir").arg(path("logs"));
        command.env("CODEX_HOME", path("codex"));
        command.env("HOME", home.path());
        Self {
            home,
            with_token: true,
            command,
        }
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// For clients that have no token but that in the URL.
    pub(crate) fn without_token(mut self) -> Self {
        self.with_token = false;
        self
    }

    pub(crate) fn start(mut self) -> Server {
        if self.with_token {
            let token = self.home.path().join("token");
            self.command.arg("--token-file").arg(token);
        }
        let (process, url, query) = spawn(&mut self.command);
        Server {
            process,
            url,
            query,
            home: self.home,
            command: self.command,
        }
    }
}

/// Starts a server; its URL, and the query with the token that it has made, if any.
fn spawn(command: &mut Command) -> (Child, String, String) {
    let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let output = process.stdout.take().unwrap();
    BufReader::new(output).read_line(&mut line).unwrap();
    let (_, address) = line.split_once("http://").unwrap();
    let (address, page) = address.split_once('/').unwrap();
    let (page, _) = page.split_once(',').unwrap();
    let query = page.strip_prefix("mcp").unwrap().to_owned();
    (process, format!("http://{address}"), query)
}

/// A running server, which is ended when it is dropped.
pub(crate) struct Server {
    process: Child,
    pub(crate) url: String,
    query: String,
    home: TempDir,
    command: Command,
}

impl Server {
    /// The URL of a page, or of `/mcp`, as the server has printed it.
    pub(crate) fn printed(&self, path: &str) -> String {
        format!("{}{path}{}", self.url, self.query)
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// A server of the fake codex.
    pub(crate) fn fake(more: &[&str]) -> Self {
        let mut launch = Launch::of(FAKE);
        launch.command.args(more);
        launch.start()
    }

    /// A server of the fake codex, which is started.
    pub(crate) fn started() -> Self {
        let server = Self::fake(&[]);
        server.run(&["start", &server.url]);
        server
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// A client command of the program.
    pub(crate) fn client(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(AGENT);
        command
            .args(arguments)
            .env("AGENT_TOKEN_FILE", self.path("token"));
        command
    }

    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        self.client(arguments).output().unwrap()
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Whether it has not ended.
    pub(crate) fn runs(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self) -> i32 {
        poll_until("the server to end", || self.process.try_wait().unwrap())
            .code()
            .unwrap()
    }

    pub(crate) fn terminate(&mut self) -> i32 {
        signal("TERM", self.pid());
        self.wait()
    }

    /// Ends it, and starts it again.
    pub(crate) fn restart(&mut self) {
        assert_eq!(self.terminate(), 0);
        self.restart_after_its_end();
    }

    /// Starts it again, after it was ended.
    pub(crate) fn restart_after_its_end(&mut self) {
        self.process.wait().unwrap();
        (self.process, self.url, self.query) = spawn(&mut self.command);
    }

    /// The output of its only run, from the files of the log.
    pub(crate) fn logged(&self) -> Vec<u8> {
        let segments = self.segments().into_iter();
        segments
            .flat_map(|(_, path)| fs::read(path).unwrap())
            .collect()
    }

    /// A part of [`logged`](Self::logged).
    pub(crate) fn logged_at(&self, mut offset: usize, length: usize) -> Vec<u8> {
        let segments = self.segments();
        let mut found = vec![0; length];
        let mut filled = 0;
        while filled < length {
            let mut from_last = segments.iter().rev();
            let (start, path) = from_last.find(|(start, _)| *start <= offset).unwrap();
            let within = u64::try_from(offset - start).unwrap();
            let file = File::open(path).unwrap();
            let read = file.read_at(&mut found[filled..], within).unwrap();
            assert!(read > 0, "the log has no {offset}");
            filled += read;
            offset += read;
        }
        found
    }

    /// The files of its only run, each with the offset at which it begins.
    fn segments(&self) -> Vec<(usize, PathBuf)> {
        let entries = fs::read_dir(self.path("logs")).unwrap();
        let mut runs = entries.map(|entry| entry.unwrap());
        // MCP's sessions are there, too.
        let run = runs.find(|entry| entry.file_name() != "mcp-sessions");
        let run = run.unwrap().path();
        let segments = fs::read_dir(run).unwrap().filter_map(|entry| {
            let entry = entry.unwrap();
            let start = entry.file_name().into_string().unwrap().parse();
            Some((start.ok()?, entry.path()))
        });
        let mut segments: Vec<_> = segments.collect();
        segments.sort();
        segments
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.runs() {
            return;
        }
        signal("TERM", self.pid());
        let began = Instant::now();
        while self.runs() && began.elapsed() < DEADLINE / 4 {
            thread::sleep(Duration::from_millis(20));
        }
        // It may have ended by now.
        let _killed = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// Writes a program that can be run.
pub(crate) fn write_program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

/// Calls `ask` until it returns a value.
#[track_caller]
pub(crate) fn poll_until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < DEADLINE, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
