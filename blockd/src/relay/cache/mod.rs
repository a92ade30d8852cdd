//! The local cache of the disk. It exists once hydration is requested; until
//! then reads only pass through.
//!
//! ```text
//! read ─► Store ─┬─ cached ─► its file
//!                └─ absent ─► Ahead ─► Pool ─► servers ─┐
//! hydrate ───────────────────────────► Pool ─► servers ─┴─► Store
//! ```
//! What is cached is read without any server. A file that cannot be written or
//! read any more is given up: reads go on upstream.

mod hydrate;
mod ranges;
mod store;

use std::{
    io, iter,
    ops::Range,
    path::PathBuf,
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use futures_util::future::try_join_all;
use tokio::{
    sync::{Mutex, Semaphore},
    task::spawn_blocking,
};
use tracing::{info, warn};

pub(crate) use self::store::NAME;
use self::store::Store;
use super::{
    ahead::Ahead,
    buffer::{length_of, part_length, zeroes},
    protocol::{CacheStatus, Hydration},
};
use crate::units::show_mebibytes;
use blockd_nbd::{Extent, ReadError};

/// Bytes that were read on demand and wait to be stored, at most; what is read
/// beyond that is not stored.
const MAX_UNSTORED: usize = 16 << 20;
/// The smallest unit that is stored.
const BLOCK: u64 = 4096;

/// The cached part of the disk.
#[derive(Debug)]
pub(super) struct Cache {
    ahead: Arc<Ahead>,
    /// The directory of its file.
    folder: PathBuf,
    /// Bytes of data that it holds at most, unless a request says another
    /// limit.
    size: u64,
    /// `None` before the first request to hydrate.
    snapshot: RwLock<Option<Snapshot>>,
    /// Requests to hydrate are answered one after the other.
    requests: Mutex<()>,
    /// Reads that wait for a server.
    demand: AtomicUsize,
    hits: AtomicU64,
    misses: AtomicU64,
    /// A permit for each byte that may wait to be stored.
    unstored: Arc<Semaphore>,
}

/// The state of a hydration, replaced as a whole.
#[derive(Clone, Debug)]
struct Snapshot {
    /// `None` when the cache was given up.
    store: Option<Arc<Store>>,
    state: Hydration,
    /// Why it is incomplete or has failed.
    reason: Option<String>,
}

/// A read that waits for a server; counted until dropped.
struct Demand<'a>(&'a AtomicUsize);

impl Drop for Demand<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Cache {
    /// A cache that is made in `folder` when that is requested.
    pub(super) fn new(ahead: Arc<Ahead>, folder: PathBuf, size: u64) -> Arc<Self> {
        Arc::new(Self {
            ahead,
            folder,
            size,
            snapshot: RwLock::default(),
            requests: Mutex::new(()),
            demand: AtomicUsize::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            unstored: Arc::new(Semaphore::new(MAX_UNSTORED)),
        })
    }

    fn snapshot(&self) -> Option<Snapshot> {
        let current = self.snapshot.read();
        current.expect("no holder of this lock panics").clone()
    }

    fn set(&self, snapshot: Snapshot) {
        let mut current = self
            .snapshot
            .write()
            .expect("no holder of this lock panics");
        *current = Some(snapshot);
    }

    fn store(&self) -> Option<Arc<Store>> {
        let current = self.snapshot.read().expect("no holder of this lock panics");
        current.as_ref()?.store.clone()
    }

    fn is_current(&self, store: &Arc<Store>) -> bool {
        self.store().is_some_and(|now| Arc::ptr_eq(&now, store))
    }

    /// `None` before the first request to hydrate.
    pub(super) fn status(&self) -> Option<CacheStatus> {
        self.snapshot().map(|snapshot| self.status_of(snapshot))
    }

    fn status_of(&self, snapshot: Snapshot) -> CacheStatus {
        let store = snapshot.store.as_deref();
        let (hydrated, of) = store.map_or((0, 0), Store::hydrated);
        CacheStatus {
            state: snapshot.state,
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            bytes: store.map_or(0, Store::stored),
            hydrated,
            of,
            reason: snapshot.reason,
        }
    }

    /// Reads what is cached and needs no wait for the local disk; `false` when
    /// [`Cache::read`] must be called.
    pub(super) fn try_read(&self, offset: u64, buffer: &mut [u8]) -> bool {
        let Some(store) = self.store() else {
            return false;
        };
        let range = offset..offset + length_of(buffer);
        let is_read = store.holds(range) && store.try_read(offset, buffer);
        self.hits.fetch_add(u64::from(is_read), Ordering::Relaxed);
        is_read
    }

    /// Reads what is cached, and the rest from the upstreams.
    ///
    /// # Errors
    ///
    /// As [`Ahead::read`].
    pub(super) async fn read(
        self: &Arc<Self>,
        offset: u64,
        length: u32,
    ) -> Result<Vec<u8>, ReadError> {
        let Some(store) = self.store() else {
            return self.ahead.read(offset, length).await;
        };
        let range = offset..offset + u64::from(length);
        if store.holds(range.clone()) {
            if let Some(bytes) = self.read_cached(&store, range).await {
                self.hits.fetch_add(1, Ordering::Relaxed);
                return Ok(bytes);
            }
            return self.ahead.read(offset, length).await;
        }
        self.misses.fetch_add(1, Ordering::Relaxed);
        self.demand.fetch_add(1, Ordering::Relaxed);
        let _demand = Demand(&self.demand);
        let parts = store
            .split(range)
            .into_iter()
            .map(|(is_cached, part)| self.read_part(&store, is_cached, part));
        Ok(try_join_all(parts).await?.concat())
    }

    async fn read_part(
        self: &Arc<Self>,
        store: &Arc<Store>,
        is_cached: bool,
        part: Range<u64>,
    ) -> Result<Vec<u8>, ReadError> {
        if is_cached && let Some(bytes) = self.read_cached(store, part.clone()).await {
            return Ok(bytes);
        }
        let length = part_length(part.end - part.start);
        let bytes = self.ahead.read(part.start, length).await?;
        self.store_later(store, part.start, &bytes);
        Ok(bytes)
    }

    /// `None` when the file cannot be read: it is given up, and the upstreams
    /// have the bytes.
    async fn read_cached(&self, store: &Arc<Store>, range: Range<u64>) -> Option<Vec<u8>> {
        let offset = range.start;
        let mut bytes = zeroes(range.end - offset);
        if store.try_read(offset, &mut bytes) {
            return Some(bytes);
        }
        let file = Arc::clone(store);
        let read = spawn_blocking(move || file.read(offset, &mut bytes).map(|()| bytes)).await;
        match read.expect("a read of a file does not panic, nor is it cancelled") {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                self.give_up(store, &format!("the cache cannot be read: {error}"));
                None
            }
        }
    }

    /// Stores what was read on demand, unless too much waits to be stored. The
    /// read itself does not wait for that.
    fn store_later(self: &Arc<Self>, store: &Arc<Store>, offset: u64, bytes: &[u8]) {
        let length = part_length(length_of(bytes));
        let permits = Arc::clone(&self.unstored).try_acquire_many_owned(length);
        // None are left: hydration reads it once more.
        let Ok(permits) = permits else { return };
        let (cache, store, bytes) = (Arc::clone(self), Arc::clone(store), bytes.to_vec());
        drop(spawn_blocking(move || {
            if let Err(error) = store.write(offset, &bytes) {
                cache.give_up(&store, &cannot_write(&error));
            }
            drop(permits);
        }));
    }

    /// Gives the cache up, unless another has replaced it.
    fn give_up(&self, store: &Arc<Store>, reason: &str) {
        let mut snapshot = self
            .snapshot
            .write()
            .expect("no holder of this lock panics");
        let current = snapshot
            .as_ref()
            .and_then(|snapshot| snapshot.store.as_ref());
        if current.is_some_and(|now| Arc::ptr_eq(now, store)) {
            warn!("{reason}; reads go on upstream");
            *snapshot = Some(Snapshot {
                store: None,
                state: Hydration::Failed,
                reason: Some(reason.to_owned()),
            });
        }
    }

    /// Begins to hydrate, or goes on. `size` is the limit in bytes of data,
    /// instead of the one of the relay's options.
    ///
    /// # Errors
    ///
    /// The servers do not say how much data there is, it is more than the limit
    /// or than the file system has room for, or the file cannot be made.
    pub(super) async fn hydrate(
        self: &Arc<Self>,
        size: Option<u64>,
    ) -> Result<CacheStatus, String> {
        let _request = self.requests.lock().await;
        let store = match self.snapshot() {
            Some(Snapshot {
                store: Some(store),
                state: Hydration::Incomplete,
                ..
            }) => store,
            Some(snapshot) if snapshot.store.is_some() => return Ok(self.status_of(snapshot)),
            Some(_) | None => self.create(size.unwrap_or(self.size)).await?,
        };
        let snapshot = Snapshot {
            store: Some(Arc::clone(&store)),
            state: Hydration::Hydrating,
            reason: None,
        };
        self.set(snapshot.clone());
        info!("hydration begins");
        drop(tokio::spawn(hydrate::run(Arc::clone(self), store)));
        Ok(self.status_of(snapshot))
    }

    /// A store for all data of the disk, of at most `limit` bytes.
    async fn create(&self, limit: u64) -> Result<Arc<Store>, String> {
        let pool = self.ahead.pool();
        let info = pool.disk().info();
        let (size, unit) = (info.size, BLOCK.max(info.block_size.minimum.into()));
        let allocation = pool.allocation().await.map_err(|error| error.0)?;
        let data = match &allocation {
            Some(data) => store::whole_units(data, unit, size),
            None => iter::once(0..size).collect(),
        };
        let created = store::create(&self.folder).map_err(|error| self.cannot_create(&error))?;
        let (file, free) = created;
        let needed = store::sum(&data);
        if needed > limit {
            let parts = if allocation.is_some() {
                ""
            } else {
                " (the server does not say which parts of the disk are empty)"
            };
            return Err(format!(
                "{} has {} of data{parts}, and the cache may take {}: give a larger --cache-size, or go on without --hydrate",
                info.name,
                show_mebibytes(needed),
                show_mebibytes(limit)
            ));
        }
        if needed > free {
            return Err(format!(
                "{} has {} of data, and {} has room for {}: make room there, or go on without --hydrate",
                info.name,
                show_mebibytes(needed),
                self.folder.display(),
                show_mebibytes(free)
            ));
        }
        let store = Store::new(file, size, unit, data);
        store
            .map(Arc::new)
            .map_err(|error| self.cannot_create(&error))
    }

    fn cannot_create(&self, error: &io::Error) -> String {
        format!("cannot make a cache in {}: {error}", self.folder.display())
    }

    /// The extents of the disk from `offset` on. Before hydration nothing is
    /// known of holes, and all is data.
    pub(super) fn extents(&self, offset: u64, each: &mut dyn FnMut(Extent) -> bool) {
        let size = self.ahead.pool().disk().info().size;
        let store = self.store();
        let data = store.as_ref().map_or(&[][..], |store| store.data());
        let known = store.is_some();
        let mut at = offset;
        let first = data.partition_point(|run| run.end <= offset);
        for run in data[first..].iter().cloned().chain(iter::once(size..size)) {
            for (end, hole) in [(run.start, known), (run.end, false)] {
                // Nothing is left of what ends before `offset`.
                let Some(length @ 1..) = end.checked_sub(at) else {
                    continue;
                };
                let extent = Extent {
                    length,
                    hole,
                    zero: hole,
                };
                if !each(extent) {
                    return;
                }
                at = end;
            }
        }
    }
}

fn cannot_write(error: &io::Error) -> String {
    format!("the cache cannot be written: {error}")
}
