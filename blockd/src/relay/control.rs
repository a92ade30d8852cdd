//! The control socket: what a relay can be asked to do while it runs.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    net::UnixStream as Stream,
    task::JoinHandle,
    time::timeout,
};

use super::{
    cache::Cache,
    protocol::{Answer, CacheStatus, Request},
    sockets::{self, CLIENT_TIMEOUT},
};

/// Bytes of the longest line that is read.
const MAX_LINE: u64 = 256;

/// Binds the control socket and answers requests until the task is aborted.
pub(super) async fn serve(path: &Path, cache: Option<Arc<Cache>>) -> Result<JoinHandle<()>> {
    sockets::serve(path, move |stream| answer(stream, cache.clone())).await
}

async fn answer(stream: Stream, cache: Option<Arc<Cache>>) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    let mut limited = (&mut stream).take(MAX_LINE);
    timeout(CLIENT_TIMEOUT, limited.read_line(&mut line))
        .await
        .context("it sends no request")?
        .context("its request cannot be read")?;
    let answer = match carry_out(&line, cache).await {
        Ok(status) => Answer::Cache(status),
        Err(reason) => Answer::Refused(reason),
    };
    sockets::send(&mut stream, &serde_json::to_vec(&answer)?).await
}

async fn carry_out(line: &str, cache: Option<Arc<Cache>>) -> Result<CacheStatus, String> {
    let request: Request = line.parse().map_err(|error| format!("{error}"))?;
    let Request::Hydrate { cache_size } = request;
    let cache = cache.ok_or("this relay has no --cache")?;
    cache.hydrate(cache_size).await
}

/// Asks a relay to hydrate, if it does not yet, into a cache of at most
/// `cache_size` bytes; returns how far the hydration has come. Blocks.
///
/// # Errors
///
/// The relay does not run, refuses, or ends before it answers.
pub(crate) fn hydrate(socket: &Path, cache_size: Option<u64>) -> Result<CacheStatus> {
    let ask = || {
        let mut stream = UnixStream::connect(socket)?;
        writeln!(stream, "{}", Request::Hydrate { cache_size })?;
        let mut document = Vec::new();
        stream.read_to_end(&mut document)?;
        Ok::<_, io::Error>(document)
    };
    let document = ask().with_context(|| format!("the relay at {} is gone", socket.display()))?;
    match serde_json::from_slice(&document).context("the relay ended before it answered")? {
        Answer::Cache(status) => Ok(status),
        Answer::Refused(reason) => bail!("{reason}"),
    }
}
