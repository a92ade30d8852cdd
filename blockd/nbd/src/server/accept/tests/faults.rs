//! What one client or export does is no harm to others.

use super::*;

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
