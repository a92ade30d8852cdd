//! What a relay tells of itself: whoever connects to the status socket reads
//! one JSON document.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use serde::Serialize;
use tokio::{
    io::AsyncWriteExt,
    time::{sleep, timeout},
};
use tracing::warn;

pub(super) use super::latency::Latency;
use super::{
    ahead::{Ahead, AheadStatus},
    cache::{Cache, CacheStatus},
    cow::Cow,
    upstream::State,
};
use blockd_nbd::server::Listener;

/// How long a reader may take to read its document.
const PATIENCE: Duration = Duration::from_secs(5);

/// The document.
#[derive(Debug, Serialize)]
struct Status {
    /// The canonical name.
    export: String,
    size: u64,
    pid: u32,
    /// When it started, in seconds since 1970.
    since: u64,
    upstreams: Vec<UpstreamStatus>,
    reads: u64,
    bytes: u64,
    errors: u64,
    in_flight: u64,
    replayed: u64,
    reconnects: u64,
    latency_us: Latency,
    ahead: AheadStatus,
    cache: Option<CacheStatus>,
    changed: Option<ChangedStatus>,
}

/// One server.
#[derive(Debug, Serialize)]
pub(super) struct UpstreamStatus {
    pub(super) uri: String,
    pub(super) state: State,
    pub(super) connections: usize,
    /// What is wrong with it, or was the last time.
    pub(super) reason: Option<String>,
}

/// The blocks that were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct ChangedStatus {
    pub(super) blocks: u64,
    pub(super) bytes: u64,
}

/// Where the figures come from.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) ahead: Arc<Ahead>,
    pub(super) cache: Option<Arc<Cache>>,
    pub(super) cow: Option<Arc<Cow>>,
    pub(super) since: SystemTime,
}

impl Source {
    fn status(&self) -> Status {
        let pool = self.ahead.pool();
        let info = pool.disk().info();
        let counters = pool.counters();
        let since = self.since.duration_since(UNIX_EPOCH).unwrap_or_default();
        Status {
            export: info.name.clone(),
            size: info.size,
            pid: std::process::id(),
            since: since.as_secs(),
            upstreams: pool.upstreams(),
            reads: counters.reads.load(Ordering::Relaxed),
            bytes: counters.bytes.load(Ordering::Relaxed),
            errors: counters.errors.load(Ordering::Relaxed),
            in_flight: counters.in_flight.load(Ordering::Relaxed),
            replayed: counters.replayed.load(Ordering::Relaxed),
            reconnects: pool.reconnects(),
            latency_us: pool.latency(),
            ahead: self.ahead.status(),
            cache: self.cache.as_ref().and_then(|cache| cache.status()),
            changed: self.cow.as_ref().map(|cow| cow.changed()),
        }
    }
}

/// Binds the socket; the future answers everybody who connects.
pub(super) async fn serve(path: &Path, source: Source) -> Result<impl Future<Output = ()> + use<>> {
    let mut listener = Listener::bind_unix(path).await?;
    Ok(async move {
        loop {
            match listener.accept_unix().await {
                Ok(mut stream) => {
                    let document = serde_json::to_vec(&source.status()).unwrap_or_default();
                    // One who does not read holds nobody else up for long.
                    let told = async {
                        stream.write_all(&document).await?;
                        stream.shutdown().await
                    };
                    let _gone = timeout(PATIENCE, told).await;
                }
                Err(error) => {
                    warn!("cannot accept on the status socket: {error}");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    })
}
