//! The sockets for status and control: unix sockets beside the disk's own, on
//! which every connection is answered with one document.

use std::{io, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    net::UnixStream,
    sync::Semaphore,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use super::privacy;

/// How long a client may take to send its request, and to read the answer.
pub(super) const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait after a failed accept(2), as when no descriptor is free.
const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// Clients of one socket that are answered at once; others wait.
const MAX_CLIENTS: usize = 16;

/// Binds a socket and answers everybody who connects, until the task that is
/// returned is aborted. Must be called inside a runtime.
///
/// # Errors
///
/// The socket cannot be bound; the error names its path.
pub(super) async fn serve<A>(
    path: &Path,
    answer: impl Fn(UnixStream) -> A + Send + 'static,
) -> Result<JoinHandle<()>>
where
    A: Future<Output = Result<()>> + Send + 'static,
{
    let mut listener = privacy::bind(path).await?;
    let clients = Arc::new(Semaphore::new(MAX_CLIENTS));
    let shown = path.display().to_string();
    Ok(tokio::spawn(async move {
        loop {
            let permit = Arc::clone(&clients).acquire_owned().await;
            let permit = permit.expect("the semaphore is never closed");
            match listener.accept_unix().await {
                Ok(stream) => {
                    let answered = answer(stream);
                    drop(tokio::spawn(async move {
                        log_failure(answered.await);
                        drop(permit);
                    }));
                }
                Err(error) => {
                    warn!("cannot accept on {shown}: {error}");
                    sleep(ACCEPT_RETRY_INTERVAL).await;
                }
            }
        }
    }))
}

fn log_failure(answered: Result<()>) {
    if let Err(error) = answered {
        debug!("a client got no answer: {error:#}");
    }
}

/// Writes the document and ends the connection.
///
/// # Errors
///
/// The client is gone, or does not read in [`CLIENT_TIMEOUT`].
pub(super) async fn send(stream: &mut (impl AsyncWrite + Unpin), document: &[u8]) -> Result<()> {
    let sent = async {
        stream.write_all(document).await?;
        stream.shutdown().await
    };
    let sent: io::Result<()> = timeout(CLIENT_TIMEOUT, sent)
        .await
        .context("it does not read")?;
    sent.context("it is gone")
}
