use std::{
    fs,
    future::{pending, ready},
    io,
    os::unix,
    path::{Path, PathBuf},
    sync::Mutex as StdMutex,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    runtime::Runtime,
    sync::{Mutex, oneshot},
    task::JoinHandle,
};
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::{
    memory::{MemoryExport, MemoryExports},
    testing::{REGION, Region, Scripted, ScriptedExports, poll_until},
};

const GREETING: &[u8] = b"NBDMAGICIHAVEOPT\0\x03";
/// Client flags, and `NBD_OPT_GO` for the default export.
const GO: &[u8] = b"\0\0\0\x03IHAVEOPT\0\0\0\x07\0\0\0\x06\0\0\0\0\0\0";
/// Length of the replies: `NBD_INFO_EXPORT` and `NBD_REP_ACK`.
const GO_REPLIES: usize = 20 + 12 + 20;

/// A server that runs until [`Running::end`].
struct Running {
    bound: Vec<Bound>,
    end: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Running {
    fn new(listeners: Vec<Listener>, limits: Limits, exports: Arc<dyn Exports>) -> Self {
        let bound = listeners
            .iter()
            .map(|listener| listener.bound().clone())
            .collect();
        let (end, ended) = oneshot::channel();
        let server = Server {
            listeners,
            tls: None,
            limits,
            exports,
        };
        let task = tokio::spawn(server.run(async move { ended.await.unwrap_or_default() }));
        Self {
            bound,
            end: Some(end),
            task,
        }
    }

    async fn on_unix(limits: Limits) -> (Self, PathBuf, TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = Listener::bind_unix(&path).await.unwrap();
        (Self::new(vec![listener], limits, memory()), path, directory)
    }

    async fn end(mut self) {
        self.end.take().unwrap().send(()).unwrap();
        timeout(Duration::from_secs(20), self.task)
            .await
            .unwrap()
            .unwrap();
    }
}

fn memory() -> Arc<dyn Exports> {
    MemoryExports::new([MemoryExport::new("memory", vec![7; 8192])])
}

async fn greeted(path: &Path) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(path).await?;
    let mut greeting = [0; GREETING.len()];
    timeout(Duration::from_secs(10), stream.read_exact(&mut greeting)).await??;
    assert_eq!(greeting, GREETING);
    Ok(stream)
}

async fn in_transmission(path: &Path) -> UnixStream {
    let mut stream = greeted(path).await.unwrap();
    stream.write_all(GO).await.unwrap();
    stream.read_exact(&mut [0; GO_REPLIES]).await.unwrap();
    stream
}

/// Reads `length` bytes at `offset`.
async fn read(stream: &mut UnixStream, offset: u64, length: u32) -> Vec<u8> {
    request_read(stream, offset, length).await;
    let mut reply = vec![0; 16 + usize::try_from(length).unwrap()];
    timeout(Duration::from_secs(10), stream.read_exact(&mut reply))
        .await
        .unwrap()
        .unwrap();
    reply.split_off(16)
}

/// Sends a request to read `length` bytes at `offset`.
async fn request_read(stream: &mut UnixStream, offset: u64, length: u32) {
    let head = b"\x25\x60\x95\x13\0\0\0\0\0\0\0\0\0\0\0\x01";
    let request = [&head[..], &offset.to_be_bytes(), &length.to_be_bytes()].concat();
    stream.write_all(&request).await.unwrap();
}

#[tokio::test]
async fn port_0_is_replaced_by_a_free_port() {
    let listeners = Listener::bind_tcp("127.0.0.1:0").await.unwrap();
    let running = Running::new(listeners, Limits::default(), memory());
    let [Bound::Tcp(address)] = *running.bound else {
        panic!("{:?}", running.bound)
    };
    assert_ne!(address.port(), 0);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.read_exact(&mut [0; GREETING.len()]).await.unwrap();
    running.end().await;
}

#[tokio::test]
async fn the_unspecified_address_accepts_ipv4_too() {
    let listeners = Listener::bind_tcp("[::]:0").await.unwrap();
    let running = Running::new(listeners, Limits::default(), memory());
    let [Bound::Tcp(address)] = *running.bound else {
        panic!("{:?}", running.bound)
    };
    for host in ["127.0.0.1", "::1"] {
        let mut stream = TcpStream::connect((host, address.port())).await.unwrap();
        stream.read_exact(&mut [0; GREETING.len()]).await.unwrap();
    }
    running.end().await;
}

#[tokio::test]
async fn a_failed_bind_names_the_address_and_what_to_do() {
    let taken = Listener::bind_tcp("127.0.0.1:0").await.unwrap();
    let address = taken[0].to_string();
    let texts = [
        (
            address.as_str(),
            "stop the server that listens there, or choose another port",
        ),
        (
            "192.0.2.1:10809",
            "choose an address of this machine, or [::] for all",
        ),
        (
            "no port",
            "give HOST:PORT, as in 127.0.0.1:10809 or [::]:10809",
        ),
    ];
    for (address, hint) in texts {
        let text = Listener::bind_tcp(address).await.unwrap_err().to_string();
        assert!(
            text.starts_with(&format!("cannot listen on {address}: ")),
            "{text}"
        );
        assert!(text.ends_with(hint), "{text}");
    }
}

#[tokio::test]
async fn the_file_of_a_unix_socket_is_removed_at_the_end() {
    let (running, path, _directory) = Running::on_unix(Limits::default()).await;
    assert!(path.exists());
    running.end().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn a_stale_unix_socket_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    drop(unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let listener = Listener::bind_unix(&path).await.unwrap();
    assert_eq!(*listener.bound(), Bound::Unix(path.clone()));
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_unix_socket_in_use_and_a_file_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let _first = Listener::bind_unix(&socket).await.unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "precious").unwrap();
    let nowhere = directory.path().join("nowhere/socket");
    let cases = [
        (
            &socket,
            "another server listens there; stop that server, or choose another path",
        ),
        (
            &file,
            "a file that is not a socket is there; remove it, or choose another path",
        ),
        (&nowhere, "create its directory first"),
    ];
    for (path, end) in cases {
        let text = Listener::bind_unix(path).await.unwrap_err().to_string();
        assert!(
            text.starts_with(&format!("cannot listen on {}: ", path.display())),
            "{text}"
        );
        assert!(text.ends_with(end), "{text}");
    }
    assert!(socket.exists());
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
}

#[tokio::test]
async fn a_file_that_replaced_the_socket_is_left_alone() {
    let (running, path, _directory) = Running::on_unix(Limits::default()).await;
    fs::remove_file(&path).unwrap();
    fs::write(&path, "precious").unwrap();
    running.end().await;
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn connections_over_the_limit_are_closed_at_once() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let (running, path, _directory) = Running::on_unix(limits).await;
    let first = in_transmission(&path).await;
    let _second = in_transmission(&path).await;
    let refused = greeted(&path).await.unwrap_err();
    assert!(
        matches!(
            refused.kind(),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
        ),
        "{refused}"
    );
    drop(first);
    poll_until("a client is accepted again", async || {
        greeted(&path).await.ok()
    })
    .await;
    running.end().await;
}

#[tokio::test]
async fn handshakes_over_the_limit_wait() {
    let limits = Limits {
        handshakes: 1,
        ..Limits::default()
    };
    let (running, path, _directory) = Running::on_unix(limits).await;
    let mut first = greeted(&path).await.unwrap();
    let second = tokio::spawn({
        let path = path.clone();
        async move { in_transmission(&path).await }
    });
    // There is no event for what must not happen.
    sleep(Duration::from_millis(150)).await;
    assert!(!second.is_finished());
    first.write_all(GO).await.unwrap();
    first.read_exact(&mut [0; GO_REPLIES]).await.unwrap();
    let mut second = timeout(Duration::from_secs(10), second)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(read(&mut second, 0, 9).await, [7; 9]);
    assert_eq!(read(&mut first, 0, 9).await, [7; 9]);
    running.end().await;
}

#[tokio::test]
async fn a_shutdown_finishes_requests_in_flight_and_accepts_nobody() {
    let disk = Scripted::new(&[Region::Slow]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = Listener::bind_unix(&path).await.unwrap();
    let exports = Arc::new(ScriptedExports(Arc::clone(&disk)));
    let running = Running::new(vec![listener], Limits::default(), exports);
    let mut stream = in_transmission(&path).await;
    request_read(&mut stream, 0, 512).await;
    disk.slow_read.notified().await;
    let ending = tokio::spawn(running.end());
    poll_until("nobody listens", async || {
        UnixStream::connect(&path).await.err()
    })
    .await;
    disk.gate.add_permits(1);
    let mut reply = vec![0; 16 + 512];
    stream.read_exact(&mut reply).await.unwrap();
    assert_eq!(reply.split_off(16), disk.bytes(0, 512));
    assert_eq!(stream.read(&mut reply).await.unwrap(), 0);
    ending.await.unwrap();
}

#[tokio::test]
async fn a_shutdown_takes_no_longer_than_the_drain_time() {
    let disk = Scripted::new(&[Region::Slow]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = Listener::bind_unix(&path).await.unwrap();
    let limits = Limits {
        drain_time: Duration::from_millis(200),
        ..Limits::default()
    };
    let exports = Arc::new(ScriptedExports(Arc::clone(&disk)));
    let running = Running::new(vec![listener], limits, exports);
    let mut stream = in_transmission(&path).await;
    request_read(&mut stream, 0, u32::try_from(REGION).unwrap()).await;
    disk.slow_read.notified().await;
    let start = Instant::now();
    running.end().await;
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(!path.exists());
}

#[tokio::test]
async fn a_server_without_listeners_or_shut_down_at_once_ends() {
    let server = Server {
        listeners: vec![],
        tls: None,
        limits: Limits::default(),
        exports: memory(),
    };
    server.run(ready(())).await;
    let server = Server {
        listeners: vec![],
        tls: None,
        limits: Limits::default(),
        exports: memory(),
    };
    timeout(Duration::from_secs(5), server.run(pending()))
        .await
        .unwrap();
}

#[tokio::test]
async fn sockets_for_another_process_are_not_taken() {
    assert!(inherited_listeners(None, None).unwrap().is_empty());
    assert!(
        inherited_listeners(Some("1"), Some("3"))
            .unwrap()
            .is_empty()
    );
    let own = std::process::id().to_string();
    assert!(inherited_listeners(Some(&own), None).unwrap().is_empty());
    let text = inherited_listeners(Some(&own), Some("many"))
        .unwrap_err()
        .to_string();
    assert!(
        text.starts_with("cannot listen on LISTEN_FDS: \"many\" is not a number"),
        "{text}"
    );
}

/// A log in memory.
#[derive(Clone, Default)]
struct Log(Arc<StdMutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn a_panic_of_the_export_is_logged_counted_and_ends_one_connection() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let _default = tracing::subscriber::set_default(subscriber);
    let disk = Scripted::new(&[Region::Data, Region::Panics, Region::SlowAndPanics]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = Listener::bind_unix(&path).await.unwrap();
    let exports = Arc::new(ScriptedExports(Arc::clone(&disk)));
    let running = Running::new(vec![listener], Limits::default(), exports);
    let mut other = in_transmission(&path).await;
    for (region, message) in [(1, "panics"), (2, "panics slowly")] {
        let mut stream = in_transmission(&path).await;
        request_read(&mut stream, region * REGION, 512).await;
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
        let logged = poll_until("the panic is logged", async || {
            let log = log.0.lock().unwrap();
            let log = String::from_utf8_lossy(&log);
            let mut lines = log.lines().map(str::to_owned);
            lines.find(|line| line.contains(&format!("panics={region}")))
        })
        .await;
        for part in [
            "ERROR",
            "process ",
            "disk@canonical",
            "ended by a panic",
            message,
        ] {
            assert!(logged.contains(part), "{part} in {logged}");
        }
    }
    assert_eq!(read(&mut other, 0, 512).await, disk.bytes(0, 512));
    running.end().await;
}

/// A valid session in which a few bytes are changed, and which may break off.
fn corrupted_session() -> impl Strategy<Value = Vec<u8>> {
    let read = b"\x25\x60\x95\x13\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\x02\0";
    let session = [GO, read, read, read].concat();
    let changes = proptest::collection::vec((0..session.len(), any::<u8>()), 0..4);
    let cut = 0..=session.len();
    (changes, cut).prop_map(move |(changes, cut)| {
        let mut session = session.clone();
        for (at, byte) in changes {
            session[at] = byte;
        }
        session.truncate(cut);
        session
    })
}

/// Whatever one client sends, another one is served meanwhile.
#[test]
fn nothing_a_client_sends_harms_another_one() {
    let runtime = Runtime::new().unwrap();
    let (running, path, _directory) = runtime.block_on(Running::on_unix(Limits {
        handshake_time: Duration::from_millis(100),
        ..Limits::default()
    }));
    let good = Mutex::new(runtime.block_on(in_transmission(&path)));
    let any_bytes = prop_oneof![
        corrupted_session(),
        proptest::collection::vec(any::<u8>(), 0..200),
    ];
    proptest!(|(sent in any_bytes, waits in any::<bool>())| {
        runtime.block_on(async {
            let mut bad = UnixStream::connect(&path).await.unwrap();
            // The server may close the connection before all is sent.
            bad.write_all(&sent).await.ok();
            if waits && sent.len() < 20 {
                let mut rest = Vec::new();
                timeout(Duration::from_secs(10), bad.read_to_end(&mut rest)).await.unwrap().ok();
            }
            let mut good = good.lock().await;
            assert_eq!(read(&mut good, 100, 50).await, [7; 50]);
        });
    });
    drop(good);
    runtime.block_on(running.end());
}
