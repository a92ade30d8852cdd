//! Every option but those for metadata contexts.

use std::sync::atomic::Ordering;

use zerocopy::FromBytes;

use super::*;
use crate::wire::{ExportNameReply, InfoBlockSize, InfoExport};

/// `HAS_FLAGS`, `READ_ONLY`, `CAN_MULTI_CONN`, `SEND_CACHE`.
const FLAGS: u16 = 1 | 1 << 1 | 1 << 8 | 1 << 10;
const SEND_DF: u16 = 1 << 7;

#[tokio::test]
async fn export_name_replies_size_flags_and_124_zeroes() {
    let disk = disk();
    let mut client = Client::new(Arc::new(ScriptedExports(disk)), Limits::default());
    client.hello(wire::NBD_FLAG_C_FIXED_NEWSTYLE).await;
    client.option(wire::NBD_OPT_EXPORT_NAME, b"disk").await;
    let reply: ExportNameReply = client.receive().await;
    assert_eq!((reply.size.get(), reply.flags.get()), (128 << 10, FLAGS));
    assert_eq!(client.bytes(124).await, [0; 124]);
    client.request((0, wire::NBD_CMD_FLUSH), 0, 0).await;
    assert_eq!(client.simple_reply().await, (0, 1));
}

#[tokio::test]
async fn export_name_omits_the_zeroes_if_that_was_negotiated() {
    let mut client = Client::greeted(&disk()).await;
    client.option(wire::NBD_OPT_EXPORT_NAME, b"").await;
    client.receive::<ExportNameReply>().await;
    client.request((0, wire::NBD_CMD_FLUSH), 0, 0).await;
    assert_eq!(client.simple_reply().await, (0, 1));
}

#[tokio::test]
async fn export_name_of_an_unknown_export_ends_the_connection() {
    for name in [&b"nothing"[..], b"\xff", &[b'x'; 5000], &vec![b'x'; 70_000]] {
        let mut client = Client::greeted(&disk()).await;
        client.option(wire::NBD_OPT_EXPORT_NAME, name).await;
        let text = client.end_text().await;
        assert!(
            text.starts_with("the client chose an export that cannot be opened"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn abort_is_acknowledged_whatever_its_data() {
    for data in [&b""[..], b"data", &vec![0; 100_000]] {
        let mut client = Client::greeted(&disk()).await;
        client.option(wire::NBD_OPT_ABORT, data).await;
        assert_eq!(client.answer().await, (wire::NBD_REP_ACK, vec![]));
        client.end().await.unwrap();
    }
}

#[tokio::test]
async fn list_leaves_out_names_that_are_no_strings_of_the_protocol() {
    let mut client = Client::greeted(&disk()).await;
    client.option(wire::NBD_OPT_LIST, &[]).await;
    assert_eq!(
        client.answer().await,
        (wire::NBD_REP_SERVER, b"\0\0\0\x04diskfirst".to_vec())
    );
    assert_eq!(
        client.answer().await,
        (wire::NBD_REP_SERVER, b"\0\0\0\x05other".to_vec())
    );
    assert_eq!(client.answer().await, (wire::NBD_REP_ACK, vec![]));
}

#[tokio::test]
async fn options_without_data_refuse_data() {
    for option in [wire::NBD_OPT_LIST, wire::NBD_OPT_STRUCTURED_REPLY] {
        let mut client = Client::greeted(&disk()).await;
        client.option(option, b"x").await;
        let (error, text) = client.refusal().await;
        assert_eq!(error, INVALID);
        assert!(text.ends_with("takes no data"), "{text}");
    }
}

#[tokio::test]
async fn unknown_options_are_unsupported_and_the_next_one_is_served() {
    let mut client = Client::greeted(&disk()).await;
    let options = [
        0,
        4,
        wire::NBD_OPT_STARTTLS,
        wire::NBD_OPT_EXTENDED_HEADERS,
        u32::MAX,
    ];
    for option in options {
        client.option(option, b"whatever").await;
        let (error, text) = client.refusal().await;
        assert_eq!(error, wire::NBD_REP_ERR_UNSUP);
        assert_eq!(text, format!("option {option} is not supported"));
    }
    client.go("disk").await;
}

#[tokio::test]
async fn info_replies_what_is_requested_and_go_the_same() {
    let disk = disk();
    let mut client = Client::greeted(&disk).await;
    let data = info("disk", &[3, 1, 2, 99]);
    let mut replies = Vec::new();
    for option in [wire::NBD_OPT_INFO, wire::NBD_OPT_GO] {
        client.option(option, &data).await;
        let mut answers = Vec::new();
        while answers
            .last()
            .is_none_or(|(kind, _)| *kind != wire::NBD_REP_ACK)
        {
            answers.push(client.answer().await);
        }
        replies.push(answers);
    }
    assert_eq!(replies[0], replies[1]);
    assert_eq!(disk.opened.load(Ordering::Relaxed), 1);
    let data: Vec<&[u8]> = replies[0].iter().map(|(_, data)| data.as_slice()).collect();
    let export = InfoExport::read_from_bytes(data[0]).unwrap();
    assert_eq!((export.size.get(), export.flags.get()), (128 << 10, FLAGS));
    assert_eq!(data[1], b"\0\x01disk@canonical");
    assert_eq!(data[2], b"\0\x02a disk that follows a script");
    let sizes = InfoBlockSize::read_from_bytes(data[3]).unwrap();
    let sizes = (
        sizes.minimum.get(),
        sizes.preferred.get(),
        sizes.maximum.get(),
    );
    assert_eq!(sizes, (1, 4096, 32 << 20));
    assert_eq!(data.len(), 5);
}

#[tokio::test]
async fn without_requests_only_info_export_is_sent() {
    let mut client = Client::greeted(&disk()).await;
    client.option(wire::NBD_OPT_INFO, &info("disk", &[])).await;
    assert_eq!(client.answer().await.1.len(), 12);
    assert_eq!(client.answer().await.0, wire::NBD_REP_ACK);
}

#[tokio::test]
async fn an_export_that_cannot_be_opened_is_an_error_with_a_message() {
    let mut client = Client::greeted(&disk()).await;
    let cases = [
        (
            "nothing",
            wire::NBD_REP_ERR_UNKNOWN,
            "no export is named \"nothing\"",
        ),
        ("invalid", INVALID, "that name is invalid"),
        ("policy", wire::NBD_REP_ERR_POLICY, "that one is forbidden"),
        (
            "failed",
            wire::NBD_REP_ERR_PLATFORM,
            "that one cannot be opened",
        ),
    ];
    for (name, error, text) in cases {
        client.option(wire::NBD_OPT_GO, &info(name, &[])).await;
        assert_eq!(client.refusal().await, (error, text.to_owned()));
    }
    client.go("disk").await;
}

#[tokio::test]
async fn malformed_data_is_invalid_and_the_next_option_is_served() {
    let mut client = Client::greeted(&disk()).await;
    let cases: [&[u8]; 4] = [
        b"",
        b"\0\0\0\x09disk\0\0",
        b"\0\0\0\x01\0\0\0",
        b"\0\0\0\0\0\0\0",
    ];
    for data in cases {
        client.option(wire::NBD_OPT_GO, data).await;
        assert_eq!(client.refusal().await.0, INVALID);
    }
    client.go("disk").await;
}

#[tokio::test]
async fn too_much_data_is_discarded_and_too_big() {
    let mut client = Client::greeted(&disk()).await;
    client
        .option(wire::NBD_OPT_GO, &vec![0; (64 << 10) + 1])
        .await;
    let expected = (
        wire::NBD_REP_ERR_TOO_BIG,
        "65537 bytes of option data are too many".to_owned(),
    );
    assert_eq!(client.refusal().await, expected);
    client.option(77, &vec![0; 64 << 10]).await;
    assert_eq!(client.refusal().await.0, wire::NBD_REP_ERR_UNSUP);
    client.go("disk").await;
}

#[tokio::test]
async fn df_is_advertised_only_with_structured_replies() {
    let mut client = Client::greeted(&disk()).await;
    client.option(wire::NBD_OPT_STRUCTURED_REPLY, &[]).await;
    client.answer().await;
    client.option(wire::NBD_OPT_GO, &info("disk", &[])).await;
    let (_, export) = client.answer().await;
    assert_eq!(
        InfoExport::read_from_bytes(&export).unwrap().flags.get(),
        FLAGS | SEND_DF
    );
}
