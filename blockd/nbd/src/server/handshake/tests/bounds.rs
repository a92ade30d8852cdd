//! Limits of the handshake, and its end.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::*;
use crate::memory::MemoryExports;

#[tokio::test]
async fn unknown_client_flags_end_the_connection() {
    let mut client = Client::new(Arc::new(ScriptedExports(disk())), Limits::default());
    client.hello(4 | 1).await;
    assert_eq!(
        client.end_text().await,
        "the client violated the protocol: unknown client flags 0x4"
    );
}

#[tokio::test]
async fn an_option_without_its_magic_ends_the_connection() {
    let mut client = Client::greeted(&disk()).await;
    client.send(&[b'x'; 16]).await;
    assert!(
        client
            .end_text()
            .await
            .ends_with("an option without IHAVEOPT")
    );
}

#[tokio::test]
async fn the_33rd_option_ends_the_connection_but_a_listing_allows_more() {
    let mut client = Client::greeted(&disk()).await;
    for _ in 0..32 {
        client.option(99, &[]).await;
        client.answer().await;
    }
    client.option(99, &[]).await;
    assert!(client.end_text().await.ends_with("too many options"));

    let mut client = Client::greeted(&disk()).await;
    client.option(wire::NBD_OPT_LIST, &[]).await;
    while client.answer().await.0 != wire::NBD_REP_ACK {}
    for _ in 0..31 + 4 * 4 {
        client.option(99, &[]).await;
        client.answer().await;
    }
    client.option(99, &[]).await;
    assert!(client.end_text().await.ends_with("too many options"));
}

fn short_time() -> Limits {
    Limits {
        handshake_time: Duration::from_millis(200),
        ..Limits::default()
    }
}

#[tokio::test]
async fn a_silent_client_is_disconnected_at_the_deadline() {
    let beginnings: [&[u8]; 3] = [b"", b"\0\0", b"\0\0\0\x03IHAVEOPT\0\0\0\x07\0\0\0\x09half"];
    for sent in beginnings {
        let mut client = Client::new(MemoryExports::new([]), short_time());
        let start = Instant::now();
        client.bytes(18).await;
        client.send(sent).await;
        let text = client.end_text().await;
        assert_eq!(text, "the client did not finish the handshake within 200ms");
        assert!(start.elapsed() >= Duration::from_millis(200));
    }
}

#[tokio::test]
async fn a_client_that_sends_slowly_is_disconnected_at_the_deadline() {
    let mut client = Client::new(Arc::new(ScriptedExports(disk())), short_time());
    client.hello(3).await;
    let start = Instant::now();
    client.option_header(99, u32::MAX).await;
    while client.stream.try_write(&[0; 64]).is_ok() && start.elapsed() < Duration::from_secs(5) {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(client.end_text().await.contains("did not finish"));
}

#[tokio::test]
async fn what_the_server_takes_does_not_count() {
    let mut client = Client::new(Arc::new(ScriptedExports(disk())), short_time());
    client.hello(3).await;
    client.go("slow").await;
}

#[tokio::test]
async fn what_is_opened_for_a_client_that_hangs_up_ends() {
    let mut client = Client::greeted(&disk()).await;
    client.option(wire::NBD_OPT_GO, &info("endless", &[])).await;
    // It may send more meanwhile.
    client.option(wire::NBD_OPT_LIST, &[]).await;
    client.leave_open().await.unwrap();
}

#[tokio::test]
async fn closing_is_no_error_between_options_and_one_inside() {
    let client = Client::greeted(&disk()).await;
    client.leave().await.unwrap();
    let mut client = Client::greeted(&disk()).await;
    client.send(b"IHAVE").await;
    assert_eq!(
        client.leave().await.unwrap_err().to_string(),
        "the connection is broken: unexpected end of file"
    );
}

#[tokio::test]
async fn options_are_refused_while_the_server_shuts_down() {
    let mut client = Client::greeted(&disk()).await;
    client.shutdown.trigger();
    for option in [wire::NBD_OPT_GO, wire::NBD_OPT_LIST, 99] {
        client.option(option, &info("disk", &[])).await;
        let shutdown = (
            wire::NBD_REP_ERR_SHUTDOWN,
            "the server is shutting down".to_owned(),
        );
        assert_eq!(client.refusal().await, shutdown);
    }
    client.option(wire::NBD_OPT_ABORT, &[]).await;
    assert_eq!(client.answer().await.0, wire::NBD_REP_ACK);
    client.end().await.unwrap();
}

#[tokio::test]
async fn a_silent_client_does_not_delay_the_shutdown() {
    let client = Client::greeted(&disk()).await;
    let start = Instant::now();
    client.shutdown.trigger();
    client.end().await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(5));
}
