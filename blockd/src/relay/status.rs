//! The status socket: the state of a relay, for people and for `blockd status`.

use std::{
    path::Path,
    process,
    sync::{Arc, atomic::Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use tokio::task::JoinHandle;

use super::{ahead::Ahead, cache::Cache, cow::Cow, protocol::Status, sockets};

/// Where the figures come from.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) ahead: Arc<Ahead>,
    pub(super) cache: Option<Arc<Cache>>,
    pub(super) cow: Option<Arc<Cow>>,
    /// When the relay started, in seconds since 1970.
    pub(super) since: u64,
}

/// Seconds since 1970, for [`Source::since`]; 0 with a clock before that.
pub(super) fn now() -> u64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_secs(),
        Err(_) => 0,
    }
}

impl Source {
    fn status(&self) -> Status {
        let pool = self.ahead.pool();
        let info = pool.disk().info();
        let counters = pool.counters();
        Status {
            export: info.name.clone(),
            size: info.size,
            pid: process::id(),
            since: self.since,
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

/// Binds the status socket and answers until the task is aborted.
pub(super) async fn serve(path: &Path, source: Source) -> Result<JoinHandle<()>> {
    let answer = move |mut stream| {
        let document = source.status().to_document();
        async move { sockets::send(&mut stream, &document?).await }
    };
    sockets::serve(path, answer).await
}
