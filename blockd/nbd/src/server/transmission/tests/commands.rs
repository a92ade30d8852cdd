//! All commands but `NBD_CMD_READ`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::*;
use crate::testing::{REGION, request};
use tokio::time::sleep;
use zerocopy::IntoBytes;

#[tokio::test]
async fn a_read_only_export_refuses_writes_and_their_data_is_skipped() {
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
async fn a_write_is_answered_after_all_its_data() {
    let mut client = Client::simple(&disk()).await;
    client.request((0, wire::NBD_CMD_WRITE), 0, 100).await;
    client.send(&[0; 99]).await;
    assert!(client.is_quiet().await);
    client.send(&[0]).await;
    assert_eq!(client.simple_reply().await, (wire::NBD_EPERM, 1));
}

#[tokio::test]
async fn a_write_over_64_mib_ends_the_connection() {
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
            (EINVAL, format!("unknown command flags {flags:#x}"))
        );
    }
    client.request(READ, 0, 512).await;
    client.chunk().await;
}

#[tokio::test]
async fn a_flush_takes_neither_offset_nor_length() {
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
async fn a_request_that_comes_byte_by_byte_is_served() {
    let mut client = Client::simple(&disk()).await;
    for byte in request(1, READ, 0, 512).as_bytes() {
        client.send(&[*byte]).await;
        // Or the kernel joins the bytes.
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(client.simple_reply().await, (0, 1));
}

#[tokio::test]
async fn extents_cover_the_request() {
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
async fn req_one_gets_one_extent_within_the_request() {
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
async fn a_block_status_of_0_bytes_is_invalid() {
    let mut client = Client::structured(&disk()).await;
    client.request(STATUS, 0, 0).await;
    assert_eq!(client.error_chunk().await.0, EINVAL);
}

#[tokio::test]
async fn a_block_status_needs_a_selected_context() {
    let mut client = Client::simple(&disk()).await;
    client.request(STATUS, 0, 512).await;
    assert_eq!(client.simple_reply().await, (EINVAL, 1));
}

#[tokio::test]
async fn cache_replies_when_the_prefetch_is_done() {
    let disk = disk();
    let mut client = Client::simple(&disk).await;
    client.request((0, wire::NBD_CMD_CACHE), 512, 65536).await;
    assert_eq!(client.simple_reply().await, (0, 1));
    assert_eq!(disk.prefetched.load(Ordering::Relaxed), 65536);
    client.request((0, wire::NBD_CMD_CACHE), 0, 0).await;
    assert_eq!(client.simple_reply().await, (0, 1));
}
