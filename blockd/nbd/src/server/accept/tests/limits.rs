//! Limits on connections and handshakes, and the shutdown.

use super::*;

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
async fn an_idle_connection_goes_where_places_are_scarce() {
    let limits = Limits {
        connections: 1,
        idle_time: Duration::ZERO,
        ..Limits::default()
    };
    let (running, path, _directory) = Running::on_unix(limits).await;
    let mut idle = in_transmission(&path).await;
    let mut second = in_transmission(&path).await;
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap_or(0), 0);
    assert_eq!(read(&mut second, 0, 9).await, [7; 9]);
    running.end().await;
}

#[tokio::test]
async fn of_too_many_handshakes_the_oldest_silent_one_goes() {
    let limits = Limits {
        handshakes: 4,
        peer_handshakes: 2,
        ..Limits::default()
    };
    let (running, path, _directory) = Running::on_unix(limits).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(greeted(&path).await.unwrap());
    }
    // Without waiting for the time that a handshake has.
    let other = timeout(Duration::from_secs(5), in_transmission(&path)).await;
    let mut other = other.unwrap();
    assert_eq!(read(&mut other, 0, 9).await, [7; 9]);
    assert_eq!(silent[0].read(&mut [0; 1]).await.unwrap_or(0), 0);
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
