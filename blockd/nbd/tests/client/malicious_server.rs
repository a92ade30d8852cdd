//! Servers that violate the protocol, break off or send random bytes.

use std::{future::pending, path::Path, time::Duration};

use blockd_nbd::{
    client::{self, Client, Error},
    uri::Address,
    wire,
};
use proptest::{
    collection::vec,
    prelude::{any, proptest},
    test_runner::Config,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixListener,
    sync::oneshot,
};
use zerocopy::IntoBytes;

use crate::{
    connections,
    scripted_server::{
        ScriptedServer, agree, agree_on_size, answers, chunk, data, hello, hole, info_export, none,
        option_reply, request, simple,
    },
};

#[tokio::test]
async fn what_is_not_an_nbd_server_is_an_error_with_a_reason() {
    for (greeting, reason) in [
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            "not begin with NBDMAGIC",
        ),
        (
            b"NBDMAGIC\x00\x00\x42\x02\x81\x86\x12\x53".to_vec(),
            "oldstyle",
        ),
        (b"NBDMAGICIHAVEOPT\x00\x02".to_vec(), "fixed newstyle"),
        (b"NBDMAGIC".to_vec(), "closes the connection"),
        (Vec::new(), "closes the connection"),
    ] {
        let error = ScriptedServer::sending(greeting).info_error().await;
        assert!(matches!(error, Error::NotNbd { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    let nowhere = Address::Unix(Path::new("/nowhere").into());
    assert!(matches!(
        client::info(&nowhere, "").await,
        Err(Error::Connect { .. })
    ));
}

#[tokio::test]
async fn violations_in_the_handshake_are_a_protocol_error() {
    let info = wire::NBD_OPT_INFO;
    let info_reply = |data: &[u8]| option_reply(info, wire::NBD_REP_INFO, data);
    let sizes = |minimum: u32, maximum: u32| {
        let sizes = wire::InfoBlockSize {
            information: wire::NBD_INFO_BLOCK_SIZE.into(),
            minimum: minimum.into(),
            preferred: 4096.into(),
            maximum: maximum.into(),
        };
        info_reply(sizes.as_bytes())
    };
    let mut giant = option_reply(info, wire::NBD_REP_INFO, &[]);
    giant[16..20].fill(0xff);
    for violation in [
        vec![0; 20],
        giant,
        option_reply(wire::NBD_OPT_GO, wire::NBD_REP_ACK, &[]),
        option_reply(info, 77, &[]),
        option_reply(info, wire::NBD_REP_ACK, &[]),
        info_reply(&[]),
        info_reply(&info_export(1)[..5]),
        info_reply(&[0, 1, 0xff]),
        info_reply(b"\0\x02a\0b"),
        sizes(0, 4096),
        sizes(3, 4096),
        sizes(1 << 20, 1 << 21),
        sizes(4096, 512),
        info_reply(&[0, 99]).repeat(1000),
    ] {
        let error = ScriptedServer::sending([hello(), violation].concat())
            .info_error()
            .await;
        assert!(matches!(error, Error::Protocol(_)), "{error}");
    }
    let cut = [hello(), info_reply(&info_export(1))[..9].to_vec()].concat();
    assert!(matches!(
        ScriptedServer::sending(cut).info_error().await,
        Error::Lost(_)
    ));
}

#[tokio::test]
async fn violations_in_replies_end_the_connection_for_all_reads() {
    let done = wire::NBD_REPLY_FLAG_DONE;
    let error = wire::NBD_REPLY_TYPE_ERROR;
    let scattered: Vec<u8> = (0..1100).flat_map(|at| data(0, 1, at * 2, b"x")).collect();
    let structured = [
        data(done, 9, 0, b"0123"),
        data(done, 1, 1, b"0123"),
        data(done, 1, u64::MAX, b"0123"),
        data(done, 1, 0, b"012"),
        data(done, 1, 0, b""),
        [data(0, 1, 0, b"012"), data(done, 1, 2, b"23")].concat(),
        [data(0, 1, 0, &[0; 4000]), data(done, 1, 0, &[0; 4000])].concat(),
        hole(1, 0, 0),
        hole(1, 0, u32::MAX),
        none(1),
        chunk(0, wire::NBD_REPLY_TYPE_NONE, 1, &[]),
        chunk(done, wire::NBD_REPLY_TYPE_BLOCK_STATUS, 1, &[0; 12]),
        chunk(done, wire::NBD_REPLY_TYPE_OFFSET_DATA, 1, &[0; 3]),
        chunk(done, error, 1, &[0; 2]),
        chunk(done, error, 1, &[0, 0, 0, 5, 0xff, 0xff]),
        chunk(done, error, 1, &[0; 9000]),
        simple(0, 1),
        scattered,
        vec![0; 64],
    ];
    for violation in structured {
        let server = answers(true, 2, violation);
        let client = server.connect().await;
        let (first, second) = tokio::join!(
            server.error_of(client.read(0, 4000)),
            server.error_of(client.read(0, 4))
        );
        for error in [first, second] {
            assert!(matches!(error, Error::Protocol(_)), "{error}");
        }
        assert_eq!(client.live_connections(), 0);
    }
    for violation in [none(1), simple(0, 7), vec![1; 16]] {
        let server = answers(false, 1, violation);
        let client = server.connect().await;
        let error = server.error_of(client.read(0, 4)).await;
        assert!(matches!(error, Error::Protocol(_)), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_closes_the_connection_fails_all_reads() {
    for (structured, bytes) in [
        (false, Vec::new()),
        (false, [simple(0, 1), b"01".to_vec()].concat()),
        (true, data(0, 1, 0, b"01")),
    ] {
        let server = ScriptedServer::new(move |mut stream| async move {
            agree(&mut stream, structured).await;
            request(&mut stream).await;
            request(&mut stream).await;
            stream.write_all(&bytes).await.unwrap();
        });
        let client = server.connect().await;
        let (first, second) = tokio::join!(
            server.error_of(client.read(0, 4)),
            server.error_of(client.read(0, 4))
        );
        for error in [first, second] {
            assert!(matches!(error, Error::Lost(_)), "{error}");
        }
    }
}

/// A reply that drips owes an answer as much as one that does not come.
#[tokio::test]
async fn a_payload_that_does_not_end_is_overdue() {
    for structured in [false, true] {
        let (sent, received) = oneshot::channel();
        let server = ScriptedServer::new(move |mut stream| async move {
            agree_on_size(&mut stream, structured, 1 << 20).await;
            request(&mut stream).await;
            let bytes = vec![1; 1 << 20];
            let mut reply = if structured {
                data(wire::NBD_REPLY_FLAG_DONE, 1, 0, &bytes)
            } else {
                [simple(0, 1), bytes].concat()
            };
            reply.pop();
            // More than a socket holds: the client has received the beginning.
            stream.write_all(&reply).await.unwrap();
            sent.send(()).unwrap();
            stream.read_to_end(&mut Vec::new()).await.ok();
        });
        let client = server.connect().await;
        let overdue = async {
            received.await.unwrap();
            client.abort_stalled(Duration::ZERO);
            pending::<()>().await;
        };
        let error = tokio::select! {
            () = overdue => unreachable!(),
            error = server.error_of(client.read(0, 1 << 20)) => error,
        };
        assert!(error.to_string().contains("no answer in"), "{error}");
    }
}

#[tokio::test]
async fn two_disks_under_one_name_are_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let server = tokio::spawn(async move {
        for size in [4096, 8192] {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(&hello()).await.unwrap();
            let go = wire::NBD_OPT_GO;
            let replies = [
                option_reply(wire::NBD_OPT_STRUCTURED_REPLY, wire::NBD_REP_ACK, &[]),
                option_reply(go, wire::NBD_REP_INFO, &info_export(size)),
                option_reply(go, wire::NBD_REP_ACK, &[]),
            ];
            stream.write_all(&replies.concat()).await.unwrap();
            tokio::spawn(async move { stream.read_to_end(&mut Vec::new()).await });
        }
    });
    let error = Client::connect(&Address::Unix(path), "e", connections(2))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("two disks"), "{error}");
    server.await.unwrap();
}

proptest! {
    #![proptest_config(Config::with_cases(64))]

    /// Whatever a server sends, the client neither panics nor hangs.
    #[test]
    fn random_bytes_are_an_error(
        structured in any::<bool>(),
        before in vec(any::<u8>(), 0..200),
        after in vec(any::<u8>(), 0..200),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            ScriptedServer::sending([hello(), before].concat()).info_error().await;
            let server = ScriptedServer::new(move |mut stream| async move {
                agree(&mut stream, structured).await;
                request(&mut stream).await;
                let magic = if structured {
                    wire::NBD_STRUCTURED_REPLY_MAGIC
                } else {
                    wire::NBD_SIMPLE_REPLY_MAGIC
                };
                stream.write_all(&magic.to_be_bytes()).await.ok();
                stream.write_all(&after).await.ok();
            });
            let client = server.connect().await;
            server.error_of(client.read(0, 4096)).await;
        });
    }
}
