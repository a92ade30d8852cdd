//! A way to a server that lets only so many bytes through.

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

/// Bytes that one permit stands for.
const SHARE: usize = 1024;

/// Between a relay and its server.
pub(crate) struct Gate {
    shares: Arc<Semaphore>,
    standing: JoinHandle<()>,
}

impl Gate {
    /// Listens at `outside`, and lets nothing through yet.
    pub(crate) fn new(outside: PathBuf, server: PathBuf) -> Self {
        let shares = Arc::new(Semaphore::new(0));
        let listener = UnixListener::bind(outside).unwrap();
        let own = Arc::clone(&shares);
        let standing = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shares = Arc::clone(&own);
                let server = server.clone();
                drop(tokio::spawn(
                    async move { pass(client, &server, shares).await },
                ));
            }
        });
        Self { shares, standing }
    }

    /// Lets so many more bytes through.
    pub(crate) fn open(&self, bytes: usize) {
        self.shares.add_permits(bytes / SHARE);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.standing.abort();
    }
}

/// Ends with either side.
async fn pass(client: UnixStream, server: &Path, shares: Arc<Semaphore>) {
    let Ok(server) = UnixStream::connect(server).await else {
        return;
    };
    let (mut said, answers) = client.into_split();
    let (replies, mut asked) = server.into_split();
    tokio::select! {
        _ = io::copy(&mut said, &mut asked) => {}
        _ = measured(replies, answers, &shares) => {}
    }
}

async fn measured(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    shares: &Semaphore,
) -> io::Result<()> {
    let mut bytes = vec![0; 16 * SHARE];
    loop {
        let count = from.read(&mut bytes).await?;
        if count == 0 {
            return Ok(());
        }
        let cost = u32::try_from(count.div_ceil(SHARE)).unwrap();
        if let Ok(permits) = shares.acquire_many(cost).await {
            permits.forget();
        }
        to.write_all(&bytes[..count]).await?;
    }
}
