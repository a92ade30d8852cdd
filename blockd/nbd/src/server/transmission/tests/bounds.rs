//! Limits of a connection, and its end.

use std::time::Duration;

use tokio::{io::AsyncWriteExt, time::sleep};
use zerocopy::IntoBytes;

use super::*;
use crate::{
    server::{Context, Limits},
    testing::{REGION, ScriptedExports, request},
};

#[tokio::test]
async fn disc_finishes_what_is_in_flight_and_has_no_reply() {
    let disk = disk();
    let mut client = Client::simple(&disk).await;
    let disconnect = (0, wire::NBD_CMD_DISC);
    let requests = [
        request(1, READ, 2 * REGION, 512),
        request(2, disconnect, 0, 0),
        request(3, FLUSH, 0, 0),
    ];
    // One burst: when the task of the read runs, all of it was taken.
    client.send(requests.as_bytes()).await;
    disk.slow_read.notified().await;
    disk.gate.add_permits(1);
    assert_eq!(client.simple_reply().await, (0, 1));
    client.bytes(512).await;
    client.end().await.unwrap();
}

#[tokio::test]
async fn a_client_that_closes_its_sending_side_gets_its_replies() {
    let disk = disk();
    let mut client = Client::simple(&disk).await;
    client.request(READ, 0, 512).await;
    client.stream.shutdown().await.unwrap();
    assert_eq!(client.simple_reply().await, (0, 1));
    client.bytes(512).await;
    client.end().await.unwrap();
}

/// Slow reads of 64 KiB under a limit of 128 KiB: the third one waits, and so does
/// every request after it.
#[tokio::test]
async fn requests_wait_at_the_limit_and_go_on_below_it() {
    for (connection_bytes, total_bytes) in [(128 << 10, 64 << 20), (64 << 20, 128 << 10)] {
        let disk = disk();
        let limits = Limits {
            connection_bytes,
            total_bytes,
            ..Limits::default()
        };
        let mut client = Client::new(Arc::new(ScriptedExports(Arc::clone(&disk))), limits);
        client.hello(3).await;
        client.go("disk").await;
        for cookie in 0..4 {
            client
                .send(request(cookie, READ, 2 * REGION, 65536).as_bytes())
                .await;
        }
        client.send(request(9, READ, 0, 512).as_bytes()).await;
        assert!(client.is_quiet().await);
        disk.gate.add_permits(4);
        let mut cookies = Vec::new();
        for _ in 0..5 {
            let (error, cookie) = client.simple_reply().await;
            assert_eq!(error, 0);
            client.bytes(if cookie == 9 { 512 } else { 65536 }).await;
            cookies.push(cookie);
        }
        cookies.sort_unstable();
        assert_eq!(cookies, [0, 1, 2, 3, 9]);
    }
}

/// A client that never reads must not occupy the memory of others.
#[tokio::test]
async fn a_client_that_reads_no_replies_is_disconnected_when_memory_is_scarce() {
    let disk = all_data(512);
    let limits = Limits {
        total_bytes: 16 << 20,
        stall_time: Duration::from_millis(100),
        ..Limits::default()
    };
    let context = Context::new(Arc::new(ScriptedExports(Arc::clone(&disk))), limits);
    let mut greedy = Client::of_context(&context);
    greedy.hello(3).await;
    greedy.go("disk").await;
    greedy.request(READ, 0, 15 << 20).await;
    let mut modest = Client::of_context(&context);
    modest.hello(3).await;
    modest.go("disk").await;
    modest.request(READ, 0, 4 << 20).await;
    assert_eq!(modest.simple_reply().await, (0, 1));
    modest.bytes(4 << 20).await;
    // The reply to the greedy client breaks off.
    let mut got = 0;
    while let Ok(count) = {
        greedy.stream.readable().await.unwrap();
        greedy.stream.try_read(&mut [0; 4096])
    } {
        got += count;
        if count == 0 {
            break;
        }
    }
    assert!(got < 15 << 20);
}

#[tokio::test]
async fn a_client_that_reads_late_is_served_while_there_is_memory() {
    let disk = all_data(64);
    let limits = Limits {
        stall_time: Duration::from_millis(20),
        ..Limits::default()
    };
    let mut client = Client::new(Arc::new(ScriptedExports(Arc::clone(&disk))), limits);
    client.hello(3).await;
    client.go("disk").await;
    client.request(READ, 0, 4 << 20).await;
    // Many times the stall time.
    sleep(Duration::from_millis(300)).await;
    assert_eq!(client.simple_reply().await, (0, 1));
    assert_eq!(client.bytes(4 << 20).await, disk.bytes(0, 4 << 20));
}

#[tokio::test]
async fn a_client_that_never_reads_ends_though_there_is_memory() {
    let disk = all_data(64);
    let limits = Limits {
        unread_time: Duration::from_millis(100),
        ..Limits::default()
    };
    let mut client = Client::new(Arc::new(ScriptedExports(disk)), limits);
    client.hello(3).await;
    client.go("disk").await;
    client.request(READ, 0, 4 << 20).await;
    let text = client.end_unread().await;
    assert!(
        text.contains("does not read its replies, for 100ms"),
        "{text}"
    );
}

#[tokio::test]
async fn a_client_that_vanishes_ends_its_connection_only() {
    let disk = all_data(64);
    let context = Context::new(Arc::new(ScriptedExports(disk)), Limits::default());
    let mut other = Client::of_context(&context);
    other.hello(3).await;
    other.go("disk").await;
    let mut client = Client::of_context(&context);
    client.hello(3).await;
    client.go("disk").await;
    for _ in 0..100 {
        client.request(READ, 0, 4 << 20).await;
    }
    drop(client);
    other.request(READ, 0, 512).await;
    assert_eq!(other.simple_reply().await, (0, 1));
}

#[tokio::test]
async fn an_export_that_panics_ends_its_connection_only() {
    let disk = Scripted::new(&[Region::Data, Region::Panics, Region::SlowAndPanics]);
    let context = Context::new(Arc::new(ScriptedExports(disk)), Limits::default());
    let mut other = Client::of_context(&context);
    other.hello(3).await;
    other.go("disk").await;
    let mut client = Client::of_context(&context);
    client.hello(3).await;
    client.go("disk").await;
    client.request(READ, REGION, 512).await;
    assert!(client.has_panicked().await);
    let mut client = Client::of_context(&context);
    client.hello(3).await;
    client.go("disk").await;
    client.request(READ, 2 * REGION, 512).await;
    let text = client.end_text().await;
    assert!(text.starts_with("the export panicked: "), "{text}");
    assert!(text.contains("panics slowly"), "{text}");
    other.request(READ, 0, 512).await;
    assert_eq!(other.simple_reply().await, (0, 1));
}

#[tokio::test]
async fn a_shutdown_finishes_requests_in_flight_and_refuses_later_ones() {
    let disk = disk();
    let mut client = Client::structured(&disk).await;
    client.request(READ, 2 * REGION, 512).await;
    disk.slow_read.notified().await;
    client.shutdown.trigger();
    client.request(READ, 0, 512).await;
    let expected = (
        wire::NBD_ESHUTDOWN,
        "the server is shutting down".to_owned(),
    );
    assert_eq!(client.error_chunk().await, expected);
    disk.gate.add_permits(1);
    assert_eq!(
        data(&client.chunk().await),
        (2 * REGION, &*disk.bytes(2 * REGION, 512))
    );
    client.end().await.unwrap();
}
