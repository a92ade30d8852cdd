//! `NBD_CMD_READ`.

use super::*;
use crate::export::BlockSize;
use crate::testing::{REGION, pattern, request};
use zerocopy::IntoBytes;

#[tokio::test]
async fn a_simple_reply_has_data_and_holes_alike() {
    let disk = disk();
    let mut client = Client::simple(&disk).await;
    for (offset, length) in [(0, 1), (7, 4096), (REGION - 1, 2), (REGION, 65536)] {
        client.request(READ, offset, length).await;
        assert_eq!(client.simple_reply().await, (0, 1));
        let length = length as usize;
        assert_eq!(client.bytes(length).await, disk.bytes(offset, length));
    }
}

#[tokio::test]
async fn a_structured_reply_has_data_and_hole_chunks() {
    let disk = disk();
    let mut client = Client::structured(&disk).await;
    client.request(READ, REGION - 4096, 4096 + 65536).await;
    let chunk = client.chunk().await;
    assert_eq!(
        data(&chunk),
        (REGION - 4096, &*disk.bytes(REGION - 4096, 4096))
    );
    assert!(!chunk.done);
    let chunk = client.chunk().await;
    assert_eq!((hole(&chunk), chunk.done), ((REGION, 65536), true));
}

#[tokio::test]
async fn a_short_hole_is_sent_as_data_unless_it_is_the_whole_read() {
    let disk = disk();
    let mut client = Client::structured(&disk).await;
    client.request(READ, REGION - 4096, 4096 + 512).await;
    assert_eq!(
        data(&client.chunk().await),
        (REGION - 4096, &*disk.bytes(REGION - 4096, 4608))
    );
    client.request(READ, REGION, 512).await;
    assert_eq!(hole(&client.chunk().await), (REGION, 512));
}

#[tokio::test]
async fn df_gets_one_content_chunk() {
    let disk = disk();
    let mut client = Client::structured(&disk).await;
    client.request(READ_DF, REGION - 4096, 4096 + 65536).await;
    let chunk = client.chunk().await;
    assert_eq!(
        data(&chunk),
        (REGION - 4096, &*disk.bytes(REGION - 4096, 4096 + 65536))
    );
    assert!(chunk.done);
    client.request(READ_DF, REGION, 65536).await;
    let chunk = client.chunk().await;
    assert_eq!((hole(&chunk), chunk.done), ((REGION, 65536), true));
}

#[tokio::test]
async fn df_is_an_unknown_flag_without_structured_replies() {
    let mut client = Client::simple(&disk()).await;
    client.request(READ_DF, 0, 512).await;
    assert_eq!(client.simple_reply().await, (EINVAL, 1));
}

#[tokio::test]
async fn a_read_of_0_bytes_succeeds() {
    let disk = disk();
    let size = 7 * REGION;
    let mut client = Client::simple(&disk).await;
    client.request(READ, size, 0).await;
    assert_eq!(client.simple_reply().await, (0, 1));
    let mut client = Client::structured(&disk).await;
    client.request(READ, 0, 0).await;
    let chunk = client.chunk().await;
    assert_eq!((chunk.kind, chunk.done), (wire::NBD_REPLY_TYPE_NONE, true));
}

#[tokio::test]
async fn a_request_past_the_end_is_invalid() {
    let disk = disk();
    let size = 7 * REGION;
    let mut client = Client::structured(&disk).await;
    let cache = (0, wire::NBD_CMD_CACHE);
    for command in [READ, STATUS, cache] {
        for (offset, length) in [(size, 1), (size - 1, 2), (u64::MAX, 1), (u64::MAX - 9, 9)] {
            client.request(command, offset, length).await;
            let (error, text) = client.error_chunk().await;
            assert_eq!(error, EINVAL);
            let expected =
                format!("{length} bytes at {offset} pass the end of the export at {size}");
            assert_eq!(text, expected);
        }
    }
    client.request(READ, size - 1, 1).await;
    client.chunk().await;
}

#[tokio::test]
async fn a_read_over_the_maximum_is_eoverflow_or_einval() {
    let disk = all_data((40 << 20) / REGION as usize);
    let maximum = 32 << 20;
    let mut client = Client::simple(&disk).await;
    client.request(READ, 0, maximum + 1).await;
    assert_eq!(client.simple_reply().await, (EINVAL, 1));
    client.request(READ, 0, maximum).await;
    assert_eq!(client.simple_reply().await, (0, 1));
    assert_eq!(
        client.bytes(maximum as usize).await[1 << 20],
        pattern(1 << 20)
    );
    let mut client = Client::structured(&disk).await;
    client.request(READ, 0, maximum + 1).await;
    assert_eq!(client.error_chunk().await.0, wire::NBD_EOVERFLOW);
    client.request(READ, 0, maximum).await;
    assert_eq!(data(&client.chunk().await).1.len(), maximum as usize);
}

#[tokio::test]
async fn an_unaligned_request_is_invalid() {
    let block_size = BlockSize {
        minimum: 512,
        ..BlockSize::default()
    };
    let disk = Scripted::with_block_size(&[Region::Data], block_size);
    let mut client = Client::structured(&disk).await;
    for (offset, length) in [(0, 511), (1, 512)] {
        client.request(READ, offset, length).await;
        assert_eq!(client.error_chunk().await.0, EINVAL);
    }
    client.request(READ, 512, 1024).await;
    client.chunk().await;
}

#[tokio::test]
async fn a_failed_read_is_eio_with_a_message() {
    for (region, text) in [(3, "broken at 196608"), (4, "slowly broken")] {
        let disk = disk();
        let mut client = Client::simple(&disk).await;
        client.request(READ, region * REGION, 4096).await;
        assert_eq!(client.simple_reply().await, (wire::NBD_EIO, 1));
        client.request(FLUSH, 0, 0).await;
        assert_eq!(client.simple_reply().await, (0, 1));
        let mut client = Client::structured(&disk).await;
        client.request(READ, region * REGION, 4096).await;
        assert_eq!(client.error_chunk().await, (wire::NBD_EIO, text.to_owned()));
    }
}

/// The hole before the broken region is not sent either.
#[tokio::test]
async fn no_byte_of_a_failed_read_is_sent() {
    let mut client = Client::structured(&Scripted::new(&[Region::Hole, Region::Broken])).await;
    client.request(READ, 0, 2 * 65536).await;
    assert_eq!(client.error_chunk().await.0, wire::NBD_EIO);
}

#[tokio::test]
async fn a_short_result_of_the_export_is_eio() {
    let mut client = Client::structured(&disk()).await;
    client.request(READ, 5 * REGION, 4096).await;
    let text = "the export returned 4095 bytes instead of 4096";
    let expected = (wire::NBD_EIO, text.to_owned());
    assert_eq!(client.error_chunk().await, expected);
}

#[tokio::test]
async fn a_deferred_read_is_overtaken() {
    let disk = disk();
    let mut client = Client::simple(&disk).await;
    client
        .send(request(7, READ, 2 * REGION, 65536).as_bytes())
        .await;
    client.send(request(8, READ, 0, 512).as_bytes()).await;
    assert_eq!(client.simple_reply().await, (0, 8));
    client.bytes(512).await;
    disk.gate.add_permits(1);
    assert_eq!(client.simple_reply().await, (0, 7));
    assert_eq!(client.bytes(65536).await, disk.bytes(2 * REGION, 65536));
}

#[tokio::test]
async fn a_deferred_read_has_hole_chunks_too() {
    let disk = disk();
    disk.gate.add_permits(1);
    let mut client = Client::structured(&disk).await;
    client
        .request(READ, REGION - 8192, 8192 + 65536 + 65536)
        .await;
    assert_eq!(
        data(&client.chunk().await),
        (REGION - 8192, &*disk.bytes(REGION - 8192, 8192))
    );
    assert_eq!(hole(&client.chunk().await), (REGION, 65536));
    let chunk = client.chunk().await;
    assert_eq!(data(&chunk), (2 * REGION, &*disk.bytes(2 * REGION, 65536)));
    assert!(chunk.done);
}

#[tokio::test]
async fn a_burst_is_answered_in_full() {
    let disk = disk();
    let mut client = Client::simple(&disk).await;
    let burst: Vec<u8> = (0..500)
        .flat_map(|cookie| request(cookie, READ, cookie * 100, 300).as_bytes().to_vec())
        .collect();
    client.send(&burst).await;
    for cookie in 0..500 {
        assert_eq!(client.simple_reply().await, (0, cookie));
        assert_eq!(client.bytes(300).await, disk.bytes(cookie * 100, 300));
    }
}
