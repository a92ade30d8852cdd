//! Servers that send what a test wants them to.

use std::{fmt, num::NonZeroUsize, time::Duration};

use blockd_nbd::{
    client::{self, Client, Error},
    uri::Address,
    wire::{self, OptionHeader, OptionReply, StructuredReply},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    task::JoinHandle,
    time::timeout,
};
use zerocopy::{FromBytes, IntoBytes};

/// A server of one connection.
pub(crate) struct ScriptedServer {
    _directory: TempDir,
    pub(crate) address: Address,
    task: JoinHandle<()>,
}

impl ScriptedServer {
    /// Serves the connection by `script`.
    pub(crate) fn new<F: Future<Output = ()> + Send + 'static>(
        script: impl FnOnce(UnixStream) -> F + Send + 'static,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let task = tokio::spawn(async move {
            script(listener.accept().await.unwrap().0).await;
        });
        Self {
            _directory: directory,
            address: Address::Unix(path),
            task,
        }
    }

    /// Sends these bytes, whatever it receives.
    pub(crate) fn sending(bytes: Vec<u8>) -> Self {
        Self::new(|mut stream| async move {
            // The client may close the connection before the end.
            stream.write_all(&bytes).await.ok();
            stream.shutdown().await.ok();
            stream.read_to_end(&mut Vec::new()).await.ok();
        })
    }

    /// The error of `client::info`.
    pub(crate) async fn info_error(&self) -> Error {
        self.error_of(client::info(&self.address, "e")).await
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(&self.address, "e", NonZeroUsize::MIN)
            .await
            .unwrap()
    }

    /// The error of `work`, which must not hang.
    pub(crate) async fn error_of<T: fmt::Debug>(
        &self,
        work: impl Future<Output = client::Result<T>>,
    ) -> Error {
        timeout(Duration::from_secs(5), work)
            .await
            .expect("the client hangs")
            .unwrap_err()
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn hello() -> Vec<u8> {
    let hello = wire::Hello {
        nbdmagic: wire::NBDMAGIC.into(),
        ihaveopt: wire::IHAVEOPT.into(),
        flags: 3.into(),
    };
    hello.as_bytes().to_vec()
}

pub(crate) fn option_reply(option: u32, reply_type: u32, data: &[u8]) -> Vec<u8> {
    let reply = OptionReply {
        magic: wire::NBD_REP_MAGIC.into(),
        option: option.into(),
        reply_type: reply_type.into(),
        length: u32::try_from(data.len()).unwrap().into(),
    };
    [reply.as_bytes(), data].concat()
}

pub(crate) fn info_export(size: u64) -> Vec<u8> {
    let info = wire::InfoExport {
        information: wire::NBD_INFO_EXPORT.into(),
        size: size.into(),
        flags: wire::NBD_FLAG_CAN_MULTI_CONN.into(),
    };
    info.as_bytes().to_vec()
}

pub(crate) fn chunk(flags: u16, chunk_type: u16, cookie: u64, payload: &[u8]) -> Vec<u8> {
    let head = StructuredReply {
        magic: wire::NBD_STRUCTURED_REPLY_MAGIC.into(),
        flags: flags.into(),
        chunk_type: chunk_type.into(),
        cookie: cookie.into(),
        length: u32::try_from(payload.len()).unwrap().into(),
    };
    [head.as_bytes(), payload].concat()
}

pub(crate) fn data(flags: u16, cookie: u64, offset: u64, bytes: &[u8]) -> Vec<u8> {
    chunk(
        flags,
        wire::NBD_REPLY_TYPE_OFFSET_DATA,
        cookie,
        &[&offset.to_be_bytes(), bytes].concat(),
    )
}

pub(crate) fn hole(cookie: u64, offset: u64, length: u32) -> Vec<u8> {
    let payload = [&offset.to_be_bytes()[..], &length.to_be_bytes()].concat();
    chunk(0, wire::NBD_REPLY_TYPE_OFFSET_HOLE, cookie, &payload)
}

pub(crate) fn none(cookie: u64) -> Vec<u8> {
    chunk(
        wire::NBD_REPLY_FLAG_DONE,
        wire::NBD_REPLY_TYPE_NONE,
        cookie,
        &[],
    )
}

pub(crate) fn simple(error: u32, cookie: u64) -> Vec<u8> {
    let reply = wire::SimpleReply {
        magic: wire::NBD_SIMPLE_REPLY_MAGIC.into(),
        error: error.into(),
        cookie: cookie.into(),
    };
    reply.as_bytes().to_vec()
}

/// The handshake for an export of 4096 bytes.
pub(crate) async fn agree(stream: &mut UnixStream, structured: bool) {
    agree_on_size(stream, structured, 4096).await;
}

pub(crate) async fn agree_on_size(stream: &mut UnixStream, structured: bool, size: u64) {
    let answer = if structured {
        wire::NBD_REP_ACK
    } else {
        wire::NBD_REP_ERR_UNSUP
    };
    let replies = [
        option_reply(wire::NBD_OPT_STRUCTURED_REPLY, answer, &[]),
        go(size),
    ];
    answer_options(stream, &replies).await;
}

/// The handshake for an export of `size` bytes, whose `base:allocation` is context
/// 7.
pub(crate) async fn agree_on_allocation(stream: &mut UnixStream, size: u64) {
    let meta = wire::NBD_OPT_SET_META_CONTEXT;
    let context = [&7_u32.to_be_bytes(), wire::META_BASE_ALLOCATION.as_bytes()].concat();
    let replies = [
        option_reply(wire::NBD_OPT_STRUCTURED_REPLY, wire::NBD_REP_ACK, &[]),
        [
            option_reply(meta, wire::NBD_REP_META_CONTEXT, &context),
            option_reply(meta, wire::NBD_REP_ACK, &[]),
        ]
        .concat(),
        go(size),
    ];
    answer_options(stream, &replies).await;
}

fn go(size: u64) -> Vec<u8> {
    let go = wire::NBD_OPT_GO;
    [
        option_reply(go, wire::NBD_REP_INFO, &info_export(size)),
        option_reply(go, wire::NBD_REP_ACK, &[]),
    ]
    .concat()
}

async fn answer_options(stream: &mut UnixStream, replies: &[Vec<u8>]) {
    stream.write_all(&hello()).await.unwrap();
    stream.read_u32().await.unwrap();
    for replies in replies {
        let mut option = [0; 16];
        stream.read_exact(&mut option).await.unwrap();
        let option = OptionHeader::read_from_bytes(&option).unwrap();
        let mut rest = vec![0; usize::try_from(option.length.get()).unwrap()];
        stream.read_exact(&mut rest).await.unwrap();
        stream.write_all(replies).await.unwrap();
    }
}

pub(crate) async fn request(stream: &mut UnixStream) -> wire::Request {
    let mut request = [0; 28];
    stream.read_exact(&mut request).await.unwrap();
    wire::Request::read_from_bytes(&request).unwrap()
}

/// A server that receives `reads` reads, the first with cookie 1, and then sends
/// these bytes.
pub(crate) fn answers(structured: bool, reads: usize, bytes: Vec<u8>) -> ScriptedServer {
    ScriptedServer::new(move |mut stream| async move {
        agree(&mut stream, structured).await;
        for _ in 0..reads {
            request(&mut stream).await;
        }
        stream.write_all(&bytes).await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.ok();
    })
}
