//! What is watched: the server, its catalog, and the process.

use std::{
    fs,
    sync::Arc,
    time::{Duration, SystemTime},
};

use blockd_nbd::server::{Figures, Watch};
use rustix::process::{Resource, getrlimit};
use tokio::{sync::Mutex, task::spawn_blocking, time::timeout};
use tracing::debug;

use super::callers::Callers;
use crate::{
    log,
    serve::catalog::{Catalog, CatalogFigures},
};

/// How long a disk may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the site shows.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) server: Watch,
    pub(super) catalog: Arc<Catalog>,
    pub(super) http: Callers,
    pub(super) started: SystemTime,
    pub(super) blocking: OneAtATime,
}

/// How all figures stand at one moment.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) server: Figures,
    pub(super) catalog: CatalogFigures,
    /// How many exports are open.
    pub(super) exports: u64,
    /// `None` while the state directory does not answer.
    pub(super) snapshots: Option<usize>,
    /// `None` where there is no `/proc`.
    pub(super) open_files: Option<usize>,
    /// `None` where there is no limit.
    pub(super) open_files_limit: Option<u64>,
    pub(super) http_connections: (usize, usize),
    pub(super) http_refused: u64,
    pub(super) http_requests: u64,
    pub(super) started: SystemTime,
    /// Lines that were left out of the log.
    pub(super) log_suppressed: u64,
}

impl Watched {
    /// How the figures stand.
    pub(super) fn reading(&self, http_requests: u64, snapshots: Option<usize>) -> Reading {
        let (exports, _) = self.server.exports(0);
        Reading {
            server: self.server.figures(),
            catalog: self.catalog.figures(),
            exports,
            snapshots,
            open_files: open_files(),
            open_files_limit: getrlimit(Resource::Nofile).current,
            http_connections: self.http.in_use(),
            http_refused: self.http.refused(),
            http_requests,
            started: self.started,
            log_suppressed: log::suppressed(),
        }
    }

    /// How many snapshots are kept.
    pub(super) async fn snapshots(&self) -> Option<usize> {
        let catalog = Arc::clone(&self.catalog);
        let counted = self.blocking.run(move || catalog.snapshots()).await?;
        match counted {
            Ok(count) => Some(count),
            Err(error) => {
                debug!(%error, "the snapshots cannot be counted");
                None
            }
        }
    }
}

/// Without the one that lists them.
fn open_files() -> Option<usize> {
    let entries = fs::read_dir("/proc/self/fd");
    let entries = entries.inspect_err(|error| debug!(%error, "open files cannot be counted"));
    entries
        .ok()
        .map(|entries| entries.count().saturating_sub(1))
}

/// Work on disks that may not answer: however many ask, one thread waits.
#[derive(Debug, Default)]
pub(super) struct OneAtATime(Arc<Mutex<()>>);

impl OneAtATime {
    /// Runs `work`; `None` if it, or what is before it, takes too long.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let lock = Arc::clone(&self.0).lock_owned();
        let run = async {
            let lock = lock.await;
            let work = move || {
                let done = work();
                drop(lock);
                done
            };
            spawn_blocking(work).await.ok()
        };
        timeout(PATIENCE, run).await.ok().flatten()
    }
}
