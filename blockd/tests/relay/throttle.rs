//! A proxy of a server that passes only so many bytes.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::{
    io::{self, AsyncReadExt, AsyncWriteExt},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Semaphore,
    task::JoinHandle,
};

/// Bytes of one permit.
const PERMIT: usize = 1024;

/// A proxy between a relay and its server.
pub(crate) struct Throttle {
    permits: Arc<Semaphore>,
    listening: JoinHandle<()>,
}

impl Throttle {
    /// Listens at `outside`, and passes no replies yet.
    pub(crate) fn new(outside: PathBuf, server: PathBuf) -> Self {
        let permits = Arc::new(Semaphore::new(0));
        let listener = UnixListener::bind(outside).unwrap();
        let own = Arc::clone(&permits);
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let permits = Arc::clone(&own);
                let server = server.clone();
                drop(tokio::spawn(
                    async move { pass(client, &server, permits).await },
                ));
            }
        });
        Self { permits, listening }
    }

    /// Passes so many more bytes.
    pub(crate) fn allow(&self, bytes: usize) {
        self.permits.add_permits(bytes / PERMIT);
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Copies both ways, until either side ends.
async fn pass(client: UnixStream, server: &Path, permits: Arc<Semaphore>) {
    let Ok(server) = UnixStream::connect(server).await else {
        return;
    };
    let (mut requests, from_us) = client.into_split();
    let (replies, mut to_server) = server.into_split();
    tokio::select! {
        _ = io::copy(&mut requests, &mut to_server) => {}
        _ = copy_permitted(replies, from_us, &permits) => {}
    }
}

async fn copy_permitted(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    permits: &Semaphore,
) -> io::Result<()> {
    let mut bytes = vec![0; 16 * PERMIT];
    loop {
        let count = from.read(&mut bytes).await?;
        if count == 0 {
            return Ok(());
        }
        let cost = u32::try_from(count.div_ceil(PERMIT)).unwrap();
        permits.acquire_many(cost).await.unwrap().forget();
        to.write_all(&bytes[..count]).await?;
    }
}
