//! `allocation`, with well-behaved and malicious servers.

use std::ops::Range;

use blockd_nbd::{
    client::{self, Error, allocation},
    uri::Address,
    wire,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::scripted_server::{
    ScriptedServer, agree, agree_on_allocation, chunk, none, option_reply, request,
};

/// A chunk of `NBD_REPLY_TYPE_BLOCK_STATUS`: the id of the context, then length and
/// status of each extent.
fn extents(flags: u16, cookie: u64, words: &[u32]) -> Vec<u8> {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    chunk(flags, wire::NBD_REPLY_TYPE_BLOCK_STATUS, cookie, &bytes)
}

const DONE: u16 = wire::NBD_REPLY_FLAG_DONE;

/// A server of an export of `size` bytes that answers requests with these bytes,
/// one after the other.
fn serving(size: u64, answers: Vec<Vec<u8>>) -> ScriptedServer {
    ScriptedServer::new(move |mut stream| async move {
        agree_on_allocation(&mut stream, size).await;
        for answer in answers {
            request(&mut stream).await;
            stream.write_all(&answer).await.unwrap();
        }
        stream.read_to_end(&mut Vec::new()).await.ok();
    })
}

async fn query(server: &ScriptedServer) -> client::Result<Option<Vec<Range<u64>>>> {
    allocation(&server.address, "e").await.map(|(offer, data)| {
        assert_eq!(offer.info.name, "e");
        data
    })
}

#[tokio::test]
async fn extents_are_joined_over_chunks_and_replies() {
    let (hole, data) = (wire::NBD_STATE_HOLE | wire::NBD_STATE_ZERO, 0);
    let server = serving(
        40_000,
        vec![
            // A hole that does not read as zeroes is data.
            extents(
                DONE,
                1,
                &[7, 4096, hole, 4096, data, 4096, wire::NBD_STATE_HOLE],
            ),
            [extents(0, 2, &[7, 8192, data, 4096, hole]), none(2)].concat(),
            // The last extent may pass the end.
            extents(DONE, 3, &[7, 1 << 20, data]),
        ],
    );
    let data = query(&server).await.unwrap();
    assert_eq!(data, Some(vec![4096..20_480, 24_576..40_000]));
    let empty = serving(0, Vec::new());
    assert_eq!(query(&empty).await.unwrap(), Some(Vec::new()));
}

#[tokio::test]
async fn a_server_without_base_allocation_is_no_error() {
    let server = ScriptedServer::new(|mut stream| async move {
        agree(&mut stream, false).await;
        stream.read_to_end(&mut Vec::new()).await.ok();
    });
    assert_eq!(query(&server).await.unwrap(), None);
}

#[tokio::test]
async fn malformed_extents_are_a_protocol_error() {
    let status = wire::NBD_REPLY_TYPE_BLOCK_STATUS;
    for malformed in [
        extents(DONE, 1, &[7]),
        extents(DONE, 1, &[7, 0, 0]),
        extents(DONE, 1, &[8, 4096, 0]),
        extents(DONE, 1, &[7, 4096]),
        extents(DONE, 2, &[7, 4096, 0]),
        [extents(0, 1, &[7, 1, 0]), extents(DONE, 1, &[7, 1, 0])].concat(),
        chunk(DONE, status, 1, &[]),
        chunk(DONE, wire::NBD_REPLY_TYPE_OFFSET_DATA, 1, &[0; 9]),
        none(1),
        vec![0; 64],
        {
            let mut giant = extents(DONE, 1, &[7, 4096, 0]);
            giant[16..20].copy_from_slice(&0xffff_fffc_u32.to_be_bytes());
            giant
        },
    ] {
        let server = serving(4096, vec![malformed.clone()]);
        let error = server.error_of(query(&server)).await;
        assert!(
            matches!(error, Error::Protocol(_)),
            "{malformed:?}: {error}"
        );
    }
    let refusal = [&5_u32.to_be_bytes()[..], &[0, 2], b"no"].concat();
    let refusal = chunk(DONE, wire::NBD_REPLY_TYPE_ERROR, 1, &refusal);
    let server = serving(4096, vec![refusal]);
    let error = server.error_of(query(&server)).await;
    assert!(matches!(error, Error::Remote { code: 5, .. }), "{error}");
}

#[tokio::test]
async fn malformed_contexts_are_a_protocol_error() {
    let meta = wire::NBD_OPT_SET_META_CONTEXT;
    for malformed in [
        option_reply(meta, wire::NBD_REP_META_CONTEXT, &[0; 3]),
        option_reply(meta, wire::NBD_REP_META_CONTEXT, &[0; 9]).repeat(100),
        option_reply(meta, wire::NBD_REP_SERVER, &[]),
    ] {
        let ack = option_reply(wire::NBD_OPT_STRUCTURED_REPLY, wire::NBD_REP_ACK, &[]);
        let server = ScriptedServer::sending([crate::hello(), ack, malformed].concat());
        let error = server.error_of(query(&server)).await;
        assert!(matches!(error, Error::Protocol(_)), "{error}");
    }
    let nowhere = Address::Unix("/nowhere".into());
    assert!(matches!(
        allocation(&nowhere, "").await,
        Err(Error::Connect { .. })
    ));
}
