//! What a relay can be asked for while it runs: whoever connects to the
//! control socket says one line, and reads one JSON document.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream as Stream,
    sync::Semaphore,
    time::{sleep, timeout},
};
use tracing::warn;

use super::cache::{Cache, CacheStatus};
use blockd_nbd::server::Listener;

/// How long a line may take to come, and an answer to be read.
const PATIENCE: Duration = Duration::from_secs(5);
/// No line is longer.
const LONGEST: u64 = 256;
/// Who may be answered at once.
const CALLERS: usize = 16;
/// The only word there is: hydrate, with a cache of at most so many bytes.
const HYDRATE: &str = "hydrate";

/// The document.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Cache(CacheStatus),
    Refused(String),
}

/// Binds the socket; the future answers everybody who connects.
pub(super) async fn serve(
    path: &Path,
    cache: Option<Arc<Cache>>,
) -> Result<impl Future<Output = ()> + use<>> {
    let mut listener = Listener::bind_unix(path).await?;
    let callers = Arc::new(Semaphore::new(CALLERS));
    Ok(async move {
        while let Ok(place) = Arc::clone(&callers).acquire_owned().await {
            match listener.accept_unix().await {
                Ok(stream) => {
                    let cache = cache.clone();
                    drop(tokio::spawn(async move {
                        answer(stream, cache).await;
                        drop(place);
                    }));
                }
                Err(error) => {
                    warn!("cannot accept on the control socket: {error}");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    })
}

async fn answer(stream: Stream, cache: Option<Arc<Cache>>) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    let mut limited = (&mut stream).take(LONGEST);
    // What is no line in time is no request.
    let _heard = timeout(PATIENCE, limited.read_line(&mut line)).await;
    let answer = match done(line.trim(), cache).await {
        Ok(status) => Answer::Cache(status),
        Err(reason) => Answer::Refused(reason),
    };
    let document = serde_json::to_vec(&answer).unwrap_or_default();
    let told = async {
        stream.write_all(&document).await?;
        stream.shutdown().await
    };
    let _gone = timeout(PATIENCE, told).await;
}

async fn done(line: &str, cache: Option<Arc<Cache>>) -> Result<CacheStatus, String> {
    let wrong = || format!("a relay can be asked to {HYDRATE:?}, or to \"{HYDRATE} BYTES\"");
    let rest = line.strip_prefix(HYDRATE).ok_or_else(wrong)?;
    let most = match rest.trim() {
        "" => None,
        bytes => Some(bytes.parse().map_err(|_| wrong())?),
    };
    let cache = cache.ok_or("this relay has no --cache")?;
    cache.hydrate(most).await
}

/// Asks a relay to hydrate, if it does not yet, into a cache of at most so many
/// bytes; says how far it is.
pub(crate) fn hydrate(socket: &Path, most: Option<u64>) -> Result<CacheStatus> {
    let most = most.map(|most| format!(" {most}")).unwrap_or_default();
    let ask = || {
        let mut stream = UnixStream::connect(socket)?;
        stream.write_all(format!("{HYDRATE}{most}\n").as_bytes())?;
        let mut text = Vec::new();
        stream.read_to_end(&mut text)?;
        Ok::<_, io::Error>(text)
    };
    let text = ask().with_context(|| format!("the relay at {} is gone", socket.display()))?;
    match serde_json::from_slice(&text).context("the relay hangs up without an answer")? {
        Answer::Cache(status) => Ok(status),
        Answer::Refused(reason) => bail!("{reason}"),
    }
}
