//! The client against this crate's server, nbdkit, and malicious servers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod allocation;
mod malicious_server;
#[path = "../../src/testing/poll.rs"]
mod poll;
mod scripted_server;

use std::{
    num::NonZeroUsize,
    ops::Range,
    process::{Command, Stdio},
    time::Duration,
};

use blockd_nbd::{
    Limits,
    client::{self, Client, Error},
    memory::{MemoryExport, MemoryExports},
    server::{Listener, Server},
    uri::Address,
    wire,
};
use futures_util::future::join_all;
use tokio::{net::UnixStream, sync::oneshot, time::timeout};

use self::{
    poll::poll_until,
    scripted_server::{
        ScriptedServer, agree, answers, chunk, data, hello, hole, none, option_reply, request,
        simple,
    },
};

const SIZE: u32 = 1 << 20;

fn connections(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).unwrap()
}

fn disk() -> Vec<u8> {
    (0..SIZE)
        .map(|at| {
            if at < SIZE / 2 {
                at.to_be_bytes()[2] ^ 0x5a
            } else {
                0
            }
        })
        .collect()
}

fn piece(disk: &[u8], offset: u32, length: u32) -> &[u8] {
    let start = usize::try_from(offset).unwrap();
    &disk[start..start + usize::try_from(length).unwrap()]
}

/// Sends many reads of all sizes at once, and checks the bytes.
async fn reads_are_right(client: &Client) {
    let disk = disk();
    let ranges = (0..400_u32).map(|number| {
        let offset = number * 7919 % SIZE;
        (offset, (number * 977 % 70_000).min(SIZE - offset))
    });
    join_all(ranges.map(|(offset, length)| {
        let disk = &disk;
        async move {
            let bytes = client.read(offset.into(), length).await.unwrap();
            assert_eq!(
                bytes,
                piece(disk, offset, length),
                "{length} bytes at {offset}"
            );
        }
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn this_crates_server() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let server = Server {
        listeners: vec![Listener::bind_unix(&path).await.unwrap()],
        tls: None,
        limits: Limits::default(),
        exports: MemoryExports::new([MemoryExport::new("memory", disk())]),
    };
    let server = tokio::spawn(server.run(std::future::pending()));
    let address = Address::Unix(path);

    let offer = client::info(&address, "").await.unwrap();
    assert_eq!(
        (offer.info.name.as_str(), offer.info.size),
        ("memory", SIZE.into())
    );
    assert_eq!(offer.info.description, format!("{SIZE} bytes in memory"));
    assert!(offer.multi_conn);
    let (again, data) = client::allocation(&address, "memory").await.unwrap();
    assert_eq!(again.info, offer.info);
    assert_eq!(
        data.as_deref(),
        Some(
            &[Range {
                start: 0,
                end: u64::from(SIZE / 2)
            }][..]
        )
    );
    let client = Client::connect(&address, "memory", connections(3))
        .await
        .unwrap();
    assert_eq!((client.info(), client.live_connections()), (&offer.info, 3));
    reads_are_right(&client).await;

    let error = client.read(u64::from(SIZE) - 1, 2).await.unwrap_err();
    assert!(matches!(error, Error::Range { .. }), "{error}");
    let error = client.read(u64::MAX, 1).await.unwrap_err();
    assert!(matches!(error, Error::Range { .. }), "{error}");
    let error = client.read(0, u32::MAX).await.unwrap_err();
    assert!(matches!(error, Error::Range { .. }), "{error}");
    let error = Client::connect(&address, "other", connections(1))
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("there is no such export") && text.contains("\"other\""),
        "{text}"
    );
    server.abort();
}

/// With structured replies and without.
#[tokio::test(flavor = "multi_thread")]
async fn nbdkit() {
    for arguments in [&[][..], &["--no-sr"]] {
        let directory = tempfile::tempdir().unwrap();
        let (socket, file) = (directory.path().join("s"), directory.path().join("disk"));
        std::fs::write(&file, disk()).unwrap();
        let mut nbdkit = Command::new("nbdkit")
            .args(["--foreground", "--readonly", "--unix"])
            .arg(&socket)
            .args(arguments)
            .arg("file")
            .arg(&file)
            .stdin(Stdio::null())
            .spawn()
            .expect("nbdkit is missing: install Debian's package nbdkit");
        poll_until("nbdkit listens", async || {
            UnixStream::connect(&socket).await.ok()
        })
        .await;
        let client = Client::connect(&Address::Unix(socket), "", connections(2))
            .await
            .unwrap();
        assert_eq!(client.live_connections(), 2);
        reads_are_right(&client).await;

        nbdkit.kill().unwrap();
        nbdkit.wait().unwrap();
        assert!(matches!(client.read(0, 1).await, Err(Error::Lost(_))));
        while client.live_connections() > 0 {
            timeout(Duration::from_secs(20), client.connection_ended())
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn a_refusal_has_the_servers_message() {
    let info = wire::NBD_OPT_INFO;
    for (code, message) in [
        (wire::NBD_REP_ERR_UNKNOWN, "no such export (not here)"),
        (
            wire::NBD_REP_ERR_TLS_REQD,
            "it requires TLS: use nbds:// instead of nbd:// (not here)",
        ),
        (
            wire::NBD_REP_FLAG_ERROR | 0x63,
            "option error 0x80000063 not here",
        ),
    ] {
        let server =
            ScriptedServer::sending([hello(), option_reply(info, code, b"not here\n")].concat());
        let text = server.info_error().await.to_string();
        assert!(text.contains(message), "{text}");
    }
}

#[tokio::test]
async fn replies_may_come_in_any_order_and_in_chunks() {
    let done = wire::NBD_REPLY_FLAG_DONE;
    let replies = [
        data(0, 1, 8, b"89ab"),
        data(done, 2, 0, b"xyz"),
        hole(1, 4, 4),
        data(0, 1, 0, b"0123"),
        none(1),
    ];
    let server = answers(true, 2, replies.concat());
    let client = server.connect().await;
    let (first, second) = tokio::join!(client.read(0, 12), client.read(0, 3));
    assert_eq!(first.unwrap(), b"0123\0\0\0\089ab");
    assert_eq!(second.unwrap(), b"xyz");

    let replies = [
        simple(0, 2),
        b"xyz".to_vec(),
        simple(0, 1),
        b"0123".to_vec(),
    ];
    let server = answers(false, 2, replies.concat());
    let client = server.connect().await;
    let (first, second) = tokio::join!(client.read(0, 4), client.read(0, 3));
    assert_eq!(
        (first.unwrap(), second.unwrap()),
        (b"0123".to_vec(), b"xyz".to_vec())
    );
}

#[tokio::test]
async fn an_error_of_one_read_is_not_one_of_others() {
    let text = b"\0\0\0\x05\0\x06broken\0\0\0\0\0\0\0\0";
    let offset = wire::NBD_REPLY_TYPE_ERROR_OFFSET;
    let done = wire::NBD_REPLY_FLAG_DONE;
    let replies = [
        data(0, 1, 0, b"0"),
        chunk(done, offset, 1, text),
        data(done, 2, 0, b"fine"),
    ]
    .concat();
    let server = answers(true, 2, replies);
    let client = server.connect().await;
    let (first, second) = tokio::join!(client.read(0, 4), client.read(0, 4));
    assert_eq!(
        first.unwrap_err().to_string(),
        "the server answers with error 5: broken"
    );
    assert_eq!(second.unwrap(), b"fine");

    let server = answers(
        false,
        2,
        [simple(22, 1), simple(0, 2), b"fine".to_vec()].concat(),
    );
    let client = server.connect().await;
    let (first, second) = tokio::join!(client.read(0, 4), client.read(0, 4));
    assert!(matches!(first, Err(Error::Remote { code: 22, .. })));
    assert_eq!(second.unwrap(), b"fine");
}

#[tokio::test]
async fn a_dropped_client_disconnects() {
    let (sent, command) = oneshot::channel();
    let server = ScriptedServer::new(|mut stream| async move {
        agree(&mut stream, true).await;
        sent.send(request(&mut stream).await.command.get()).unwrap();
    });
    drop(server.connect().await);
    assert_eq!(command.await.unwrap(), wire::NBD_CMD_DISC);
}
