//! All commands but `NBD_CMD_READ`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::*;
use crate::testing::{REGION, request};
use tokio::time::sleep;
use zerocopy::IntoBytes;

#[tokio::test]
async fn writes_are_not_permitted_and_their_data_is_skipped() {
    for structured in [false, true] {
        let disk = disk();
        let mut client = if structured {
            Client::structured(&disk).await
        } else {
            Client::simple(&disk).await
        };
        for (command, length) in [(1, 3_000_000), (1, 0), (4, 4096), (6, u32::MAX)] {
            client.request((1, command), u64::MAX, length).await;
            if command == wire::NBD_CMD_WRITE {
                client.send(&vec![0x25; length as usize]).await;
            }
            if structured {
                let expected = (wire::NBD_EPERM, "the export is read-only".to_owned());
                assert_eq!(client.error_chunk().await, expected);
            } else {
                assert_eq!(client.simple_reply().await, (wire::NBD_EPERM, 1));
            }
        }
    }
}

#[tokio::test]
async fn a_write_is_answered_only_when_all_its_data_came() {
    let mut client = Client::simple(&disk()).await;
    client.request((0, wire::NBD_CMD_WRITE), 0, 100).await;
    client.send(&[0; 99]).await;
    assert!(client.is_quiet().await);
    client.send(&[0]).await;
    assert_eq!(client.simple_reply().await, (wire::NBD_EPERM, 1));
}

#[tokio::test]
async fn a_write_of_no_reasonable_size_ends_the_connection() {
    let mut client = Client::simple(&disk()).await;
    client
        .request((0, wire::NBD_CMD_WRITE), 0, (64 << 20) + 1)
        .await;
    assert!(
        client
            .end_text()
            .await
            .ends_with("a write of 67108865 bytes")
    );
}

#[tokio::test]
async fn unknown_commands_and_flags_are_invalid_and_the_connection_stays() {
    let mut client = Client::structured(&disk()).await;
    for command in [8, 77, u16::MAX] {
        client.request((0, command), 0, 512).await;
        assert_eq!(
            client.error_chunk().await,
            (EINVAL, format!("unknown command {command}"))
        );
    }
    let flags = [
        (1, 0),
        (1 << 15, 0),
        (1, 3),
        (4, 5),
        (1 << 3, 0),
        (1 << 2, 7),
    ];
    for (flags, command) in flags {
        client.request((flags, command), 0, 512).await;
        assert_eq!(
            client.error_chunk().await,
            (EINVAL, format!("command flags {flags:#x}"))
        );
    }
    client.request(READ, 0, 512).await;
    client.chunk().await;
}

#[tokio::test]
async fn a_flush_succeeds_if_it_is_one() {
    let mut client = Client::simple(&disk()).await;
    client.request(FLUSH, 0, 0).await;
    assert_eq!(client.simple_reply().await, (0, 1));
    for (offset, length) in [(512, 0), (0, 512)] {
        client.request(FLUSH, offset, length).await;
        assert_eq!(client.simple_reply().await, (EINVAL, 1));
    }
}

#[tokio::test]
async fn a_request_without_its_magic_ends_the_connection() {
    let mut client = Client::simple(&disk()).await;
    client.send(&[0; 28]).await;
    assert!(
        client
            .end_text()
            .await
            .ends_with("a request without its magic")
    );
}

#[tokio::test]
async fn a_request_in_single_bytes_is_understood() {
    let mut client = Client::simple(&disk()).await;
    for byte in request(1, READ, 0, 512).as_bytes() {
        client.send(&[*byte]).await;
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(client.simple_reply().await, (0, 1));
}

#[tokio::test]
async fn extents_are_told_until_they_cover_the_request() {
    let disk = Scripted::new(&[Region::Data, Region::Data, Region::Hole, Region::Data]);
    let mut client = Client::structured(&disk).await;
    let region = REGION as u32;
    client.request(STATUS, 0, 4 * region).await;
    assert_eq!(
        extents(&mut client).await,
        [(2 * region, 0), (region, 3), (region, 0)]
    );
    client.request(STATUS, REGION - 512, 1024).await;
    assert_eq!(extents(&mut client).await, [(512 + region, 0)]);
    client.request(STATUS, 2 * REGION + 1, 1).await;
    assert_eq!(extents(&mut client).await, [(region - 1, 3)]);
}

#[tokio::test]
async fn req_one_gets_one_extent_and_no_more_than_it_asked_for() {
    let disk = Scripted::new(&[Region::Data, Region::Data, Region::Hole, Region::Data]);
    let mut client = Client::structured(&disk).await;
    let region = REGION as u32;
    client.request(STATUS_ONE, 0, 4 * region).await;
    assert_eq!(extents(&mut client).await, [(2 * region, 0)]);
    client.request(STATUS_ONE, REGION / 2, 512).await;
    assert_eq!(extents(&mut client).await, [(512, 0)]);
    client.request(STATUS_ONE, 2 * REGION, 512).await;
    assert_eq!(extents(&mut client).await, [(512, 3)]);
}

#[tokio::test]
async fn the_status_of_nothing_is_invalid() {
    let mut client = Client::structured(&disk()).await;
    client.request(STATUS, 0, 0).await;
    assert_eq!(client.error_chunk().await.0, EINVAL);
}

#[tokio::test]
async fn status_needs_a_context() {
    let mut client = Client::simple(&disk()).await;
    client.request(STATUS, 0, 512).await;
    assert_eq!(client.simple_reply().await, (EINVAL, 1));
}

#[tokio::test]
async fn cache_prefetches_and_then_says_so() {
    let disk = disk();
    let mut client = Client::simple(&disk).await;
    client.request((0, wire::NBD_CMD_CACHE), 512, 65536).await;
    assert_eq!(client.simple_reply().await, (0, 1));
    assert_eq!(disk.prefetched.load(Ordering::Relaxed), 65536);
    client.request((0, wire::NBD_CMD_CACHE), 0, 0).await;
    assert_eq!(client.simple_reply().await, (0, 1));
}
