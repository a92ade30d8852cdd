//! A repository, servers and relays, as real processes; each ends with its
//! test.

use std::{
    fs::{self, File},
    io::Read,
    num::NonZeroUsize,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use blockd_nbd::{
    client::{self, Client, Error},
    uri::Address,
    wire::NBD_EIO,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;

/// A wait that takes this long has failed, also on a busy machine.
pub(crate) const POLL_TIMEOUT: Duration = Duration::from_secs(40);
/// Bytes at the front of the disk that are read: metadata, and all the files.
pub(crate) const FRONT: u32 = 4 << 20;

/// `blockd`, without standard input.
pub(crate) fn blockd(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_blockd"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Whether a program succeeds, its standard output and its standard error.
pub(crate) fn output(command: &mut Command) -> (bool, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.success(), text(stdout), text(stderr))
}

pub(crate) fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// A folder with a repository of one commit.
pub(crate) struct Bench {
    pub(crate) folder: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let bench = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(bench.path("repo")).unwrap();
        bench.git(&["init", "-q", "-b", "main"]);
        bench.commit("first");
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn git(&self, arguments: &[&str]) {
        let mut git = Command::new("git");
        // The files of a commit of this moment have a time that depends on when it
        // is opened.
        git.current_dir(self.path("repo"))
            .env("GIT_COMMITTER_DATE", "@1700000000 +0000")
            .args(["-c", "user.name=A", "-c", "user.email=a@example.org"])
            .args(arguments);
        let (done, _, said) = output(&mut git);
        assert!(done, "{git:?}: {said}");
    }

    pub(crate) fn commit(&self, message: &str) {
        for number in 0..40_usize {
            let line = format!("{message} {number}\n");
            let file = self.path("repo").join(format!("{number}.txt"));
            fs::write(file, line.repeat(1 + number * 97)).unwrap();
        }
        self.git(&["add", "."]);
        self.git(&["commit", "-q", "-m", message]);
    }

    pub(crate) fn socket(&self, server: &str) -> PathBuf {
        self.path(&format!("{server}.sock"))
    }

    pub(crate) fn uri(&self, server: &str) -> String {
        self.uri_of(server, "repo@main")
    }

    pub(crate) fn uri_of(&self, server: &str, export: &str) -> String {
        let socket = self.socket(server);
        format!("nbd+unix:///{export}?socket={}", socket.display())
    }

    /// A server of the repository. One with the name of a server before has its
    /// state directory.
    pub(crate) async fn serve(&self, server: &str) -> Server {
        let log = File::create(self.path(&format!("{server}.log"))).unwrap();
        let socket = self.socket(server);
        let child = blockd(&["serve", "--repos"])
            .arg(self.path("repo"))
            .arg("--state")
            .arg(self.path(&format!("{server}.state")))
            .arg("--unix")
            .arg(&socket)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        poll_until("the server listens", async || {
            UnixStream::connect(&socket).is_ok()
        })
        .await;
        Server(child)
    }

    /// The front of the disk, straight from a server.
    pub(crate) async fn truth(&self, server: &str) -> Vec<u8> {
        let address = Address::Unix(self.socket(server));
        let client = Client::open(&address, "repo@main").await.unwrap();
        client.read(0, FRONT).await.unwrap()
    }

    pub(crate) fn relay_command(&self, uris: &[String], more: &[&str]) -> Command {
        let mut relay = blockd(&["relay", "--unix"]);
        relay.arg(self.socket("relay"));
        relay.arg("--status").arg(self.socket("status"));
        relay.args(more).arg("--").args(uris);
        relay
    }

    /// A relay that is ready.
    pub(crate) async fn relay(&self, uris: &[String], more: &[&str]) -> Relay {
        self.start_relay(self.relay_command(uris, more)).await
    }

    /// The same, started by this command.
    pub(crate) async fn start_relay(&self, mut relay: Command) -> Relay {
        let log = File::create(self.path("relay.log")).unwrap();
        let child = relay.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let relay = Relay {
            child,
            socket: self.socket("relay"),
            status: self.socket("status"),
        };
        // A relay that was killed has left its sockets.
        for socket in [&relay.socket, &relay.status] {
            poll_until("the relay listens", async || {
                UnixStream::connect(socket).is_ok()
            })
            .await;
        }
        relay
    }

    pub(crate) fn relay_log(&self) -> String {
        fs::read_to_string(self.path("relay.log")).unwrap_or_default()
    }
}

/// A `blockd serve`, killed in the end.
pub(crate) struct Server(pub(crate) Child);

impl Server {
    /// Stops it (SIGSTOP), and waits until all its threads are stopped.
    pub(crate) async fn stop(&self) {
        send(&self.0, Signal::STOP);
        let threads = format!("/proc/{}/task", self.0.id());
        poll_until("the server is stopped", async || {
            let mut threads = fs::read_dir(&threads).unwrap().flatten();
            threads.all(|thread| {
                let stat = fs::read_to_string(thread.path().join("stat"));
                stat.is_ok_and(|stat| stat.contains(") T "))
            })
        })
        .await;
    }

    /// Continues it.
    pub(crate) fn resume(&self) {
        send(&self.0, Signal::CONT);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A `blockd relay`, killed in the end.
pub(crate) struct Relay {
    pub(crate) child: Child,
    pub(crate) socket: PathBuf,
    pub(crate) status: PathBuf,
}

impl Relay {
    pub(crate) async fn client(&self) -> Client {
        let address = Address::Unix(self.socket.clone());
        let connections = NonZeroUsize::new(2).unwrap();
        Client::connect(&address, "", connections).await.unwrap()
    }

    pub(crate) fn status(&self) -> Value {
        status(&self.status)
    }

    /// Waits until an upstream is in this state.
    pub(crate) async fn upstream_is(&self, index: usize, state: &str) {
        poll_until(&format!("upstream {index} is {state}"), async || {
            self.status()["upstreams"][index]["state"] == state
        })
        .await;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn status(socket: &Path) -> Value {
    let mut document = String::new();
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(POLL_TIMEOUT)).unwrap();
    stream.read_to_string(&mut document).unwrap();
    serde_json::from_str(&document).unwrap()
}

/// Waits until `done`.
pub(crate) async fn poll_until(what: &str, done: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !done().await {
        assert!(begun.elapsed() < POLL_TIMEOUT, "timeout: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Reads at random places until `stop`; every byte must be right, and no read
/// may fail. Returns the number of reads, and the time of the longest.
pub(crate) async fn read_at_random(
    client: &Client,
    truth: &[u8],
    stop: impl Future<Output = ()>,
) -> (u32, Duration) {
    let mut worst = Duration::ZERO;
    let mut count = 0_u32;
    let reading = async {
        loop {
            let offset = count.wrapping_mul(7919 * 512) % (FRONT - 70_000);
            let length = 1 + count.wrapping_mul(977) % 70_000;
            let begun = Instant::now();
            let bytes = check_read(client, truth, offset, length).await;
            bytes.unwrap_or_else(|error| panic!("read {count} fails: {error}"));
            worst = worst.max(begun.elapsed());
            count += 1;
        }
    };
    tokio::select! {
        () = reading => {}
        () = stop => {}
    }
    (count, worst)
}

/// Reads, and compares.
pub(crate) async fn check_read(
    client: &Client,
    truth: &[u8],
    offset: u32,
    length: u32,
) -> client::Result<()> {
    let bytes = client.read(offset.into(), length).await?;
    let start = usize::try_from(offset).unwrap();
    let expected = &truth[start..start + usize::try_from(length).unwrap()];
    assert!(bytes == expected, "wrong bytes at {offset}");
    Ok(())
}

/// Whether the error is the one of a disk that cannot be read.
pub(crate) fn is_eio(error: &Error) -> bool {
    matches!(error, Error::Remote { code: NBD_EIO, .. })
}
