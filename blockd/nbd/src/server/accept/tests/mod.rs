//! A whole server, over its sockets.

mod bind;
mod faults;
mod limits;

use std::{
    fs,
    future::{pending, ready},
    io,
    os::unix,
    path::{Path, PathBuf},
    sync::Mutex as StdMutex,
    time::{Duration, Instant},
};

use proptest::prelude::*;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
    runtime::Runtime,
    sync::{Mutex, oneshot},
    task::JoinHandle,
};
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::{
    memory::{MemoryExport, MemoryExports},
    testing::{REGION, Region, Scripted, ScriptedExports, poll_until},
};

const GREETING: &[u8] = b"NBDMAGICIHAVEOPT\0\x03";
/// Client flags, and `NBD_OPT_GO` for the default export.
const GO: &[u8] = b"\0\0\0\x03IHAVEOPT\0\0\0\x07\0\0\0\x06\0\0\0\0\0\0";
/// Length of the replies: `NBD_INFO_EXPORT` and `NBD_REP_ACK`.
const GO_REPLIES: usize = 20 + 12 + 20;

/// A server that runs until [`Running::end`].
struct Running {
    bound: Vec<Bound>,
    end: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Running {
    fn new(listeners: Vec<Listener>, limits: Limits, exports: Arc<dyn Exports>) -> Self {
        let bound = listeners
            .iter()
            .map(|listener| listener.bound().clone())
            .collect();
        let (end, ended) = oneshot::channel();
        let server = Server {
            listeners,
            tls: None,
            limits,
            exports,
        };
        let task = tokio::spawn(server.run(async move { ended.await.unwrap_or_default() }));
        Self {
            bound,
            end: Some(end),
            task,
        }
    }

    async fn on_unix(limits: Limits) -> (Self, PathBuf, TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = Listener::bind_unix(&path).await.unwrap();
        (Self::new(vec![listener], limits, memory()), path, directory)
    }

    async fn end(mut self) {
        self.end.take().unwrap().send(()).unwrap();
        timeout(Duration::from_secs(20), self.task)
            .await
            .unwrap()
            .unwrap();
    }
}

fn memory() -> Arc<dyn Exports> {
    MemoryExports::new([MemoryExport::new("memory", vec![7; 8192])])
}

async fn greeted(path: &Path) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(path).await?;
    let mut greeting = [0; GREETING.len()];
    timeout(Duration::from_secs(10), stream.read_exact(&mut greeting)).await??;
    assert_eq!(greeting, GREETING);
    Ok(stream)
}

async fn in_transmission(path: &Path) -> UnixStream {
    let mut stream = greeted(path).await.unwrap();
    stream.write_all(GO).await.unwrap();
    stream.read_exact(&mut [0; GO_REPLIES]).await.unwrap();
    stream
}

/// Reads `length` bytes at `offset`.
async fn read(stream: &mut UnixStream, offset: u64, length: u32) -> Vec<u8> {
    request_read(stream, offset, length).await;
    let mut reply = vec![0; 16 + usize::try_from(length).unwrap()];
    timeout(Duration::from_secs(10), stream.read_exact(&mut reply))
        .await
        .unwrap()
        .unwrap();
    reply.split_off(16)
}

/// Sends a request to read `length` bytes at `offset`.
async fn request_read(stream: &mut UnixStream, offset: u64, length: u32) {
    let head = b"\x25\x60\x95\x13\0\0\0\0\0\0\0\0\0\0\0\x01";
    let request = [&head[..], &offset.to_be_bytes(), &length.to_be_bytes()].concat();
    stream.write_all(&request).await.unwrap();
}
