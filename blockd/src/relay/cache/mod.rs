//! The local block cache: made when hydration is asked for, until then reads
//! only pass.
//!
//! ```text
//! read ─► Store ─┬─ here ──► its file
//!                └─ absent ─► Ahead ─► Pool ─► servers ─┐
//! hydrate ───────────────────────────► Pool ─► servers ─┴─► Store
//! ```
//! What is here is answered without any server. A file that cannot be written
//! or read any more is dropped: reads go on upstream.

mod hydrate;
mod ranges;
mod store;

use std::{
    io, iter,
    ops::Range,
    path::PathBuf,
    sync::{
        Arc, PoisonError, RwLock,
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
    protocol::{CacheStatus, Hydration},
};
use crate::units::show_mebibytes;
use blockd_nbd::{Extent, ReadError};

/// Bytes that were read for others and wait to be stored; what is more is not
/// stored now.
const WAITING: usize = 16 << 20;
/// The least that is stored.
const BLOCK: u64 = 4096;

/// What is cached of the upstreams' disk, once that is asked for.
#[derive(Debug)]
pub(super) struct Cache {
    ahead: Arc<Ahead>,
    /// Where its file goes.
    folder: PathBuf,
    /// The most that it holds, unless who asks says another.
    most: u64,
    face: RwLock<Face>,
    /// One asks for hydration at a time.
    asking: Mutex<()>,
    /// Reads that wait for a server.
    demand: AtomicUsize,
    hits: AtomicU64,
    misses: AtomicU64,
    room: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Face {
    store: Option<Arc<Store>>,
    state: Option<Hydration>,
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
    pub(super) fn new(ahead: Arc<Ahead>, folder: PathBuf, most: u64) -> Arc<Self> {
        Arc::new(Self {
            ahead,
            folder,
            most,
            face: RwLock::default(),
            asking: Mutex::new(()),
            demand: AtomicUsize::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            room: Arc::new(Semaphore::new(WAITING)),
        })
    }

    /// Nothing panics while it holds this lock, so it cannot be poisoned.
    fn look<T>(&self, at: impl FnOnce(&Face) -> T) -> T {
        at(&self.face.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, store: Option<Arc<Store>>, state: Hydration, reason: Option<String>) {
        let face = Face {
            store,
            state: Some(state),
            reason,
        };
        *self.face.write().unwrap_or_else(PoisonError::into_inner) = face;
    }

    fn store(&self) -> Option<Arc<Store>> {
        self.look(|face| face.store.clone())
    }

    fn is_current(&self, store: &Arc<Store>) -> bool {
        self.look(|face| {
            face.store
                .as_ref()
                .is_some_and(|now| Arc::ptr_eq(now, store))
        })
    }

    /// `None` as long as nobody has asked for it.
    pub(super) fn status(&self) -> Option<CacheStatus> {
        let (store, state, reason) =
            self.look(|face| (face.store.clone(), face.state, face.reason.clone()));
        let (hydrated, of) = store.as_ref().map_or((0, 0), |store| store.hydrated());
        Some(CacheStatus {
            state: state?,
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            bytes: store.map_or(0, |store| store.stored()),
            hydrated,
            of,
            reason,
        })
    }

    /// The status once a hydration has begun: from then on there is one.
    fn begun(&self) -> CacheStatus {
        self.status().expect("a hydration has begun")
    }

    /// Reads what is here and waits for no disk; `false`: it is to be read.
    pub(super) fn read_ready(&self, offset: u64, buffer: &mut [u8]) -> bool {
        let Some(store) = self.store() else {
            return false;
        };
        let length = u64::try_from(buffer.len()).unwrap_or(u64::MAX);
        let is_read =
            store.holds(offset..offset.saturating_add(length)) && store.read_now(offset, buffer);
        self.hits.fetch_add(u64::from(is_read), Ordering::Relaxed);
        is_read
    }

    /// Reads what is here, and the rest from the upstreams.
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
            if let Some(bytes) = self.read_here(&store, offset, length).await {
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
            .map(|(is_here, part)| self.part(&store, is_here, part));
        Ok(try_join_all(parts).await?.concat())
    }

    async fn part(
        self: &Arc<Self>,
        store: &Arc<Store>,
        is_here: bool,
        Range { start, end }: Range<u64>,
    ) -> Result<Vec<u8>, ReadError> {
        // A part of a range of u32.
        let length = u32::try_from(end - start).unwrap_or(u32::MAX);
        if is_here && let Some(bytes) = self.read_here(store, start, length).await {
            return Ok(bytes);
        }
        let bytes = self.ahead.read(start, length).await?;
        self.keep(store, start, &bytes);
        Ok(bytes)
    }

    /// `None` when the file fails: it is dropped, and the upstreams have it.
    async fn read_here(&self, store: &Arc<Store>, offset: u64, length: u32) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        if store.read_now(offset, &mut bytes) {
            return Some(bytes);
        }
        let file = Arc::clone(store);
        let read = spawn_blocking(move || file.read(offset, &mut bytes).map(|()| bytes)).await;
        match read.ok()? {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                self.drop_it(store, &format!("the cache cannot be read: {error}"));
                None
            }
        }
    }

    /// Stores what was read for somebody, who does not wait for that.
    fn keep(self: &Arc<Self>, store: &Arc<Store>, offset: u64, bytes: &[u8]) {
        let share = u32::try_from(bytes.len()).ok();
        let share = share.and_then(|share| {
            let room = Arc::clone(&self.room);
            room.try_acquire_many_owned(share).ok()
        });
        let Some(share) = share else { return };
        let (cache, store, bytes) = (Arc::clone(self), Arc::clone(store), bytes.to_vec());
        drop(spawn_blocking(move || {
            if let Err(error) = store.write(offset, &bytes) {
                cache.drop_it(&store, &cannot_write(&error));
            }
            drop(share);
        }));
    }

    /// Gives the cache up, unless another has taken its place.
    fn drop_it(&self, store: &Arc<Store>, reason: &str) {
        let mut face = self.face.write().unwrap_or_else(PoisonError::into_inner);
        if face.store.take_if(|now| Arc::ptr_eq(now, store)).is_some() {
            warn!("{reason}; reads go on upstream");
            face.state = Some(Hydration::Failed);
            face.reason = Some(reason.to_owned());
        }
    }

    /// Begins to hydrate, or goes on; says how far it is, or why it cannot be.
    pub(super) async fn hydrate(
        self: &Arc<Self>,
        most: Option<u64>,
    ) -> Result<CacheStatus, String> {
        let _alone = self.asking.lock().await;
        let store = match (self.store(), self.look(|face| face.state)) {
            (Some(store), Some(Hydration::Incomplete)) => store,
            (Some(_), _) => return Ok(self.begun()),
            (None, _) => self.begin(most.unwrap_or(self.most)).await?,
        };
        self.note(Some(Arc::clone(&store)), Hydration::Hydrating, None);
        info!("hydration begins");
        drop(tokio::spawn(hydrate::run(Arc::clone(self), store)));
        Ok(self.begun())
    }

    async fn begin(&self, most: u64) -> Result<Arc<Store>, String> {
        let info = self.ahead.pool().disk().info();
        let (size, unit) = (info.size, BLOCK.max(info.block_size.minimum.into()));
        let told = self
            .ahead
            .pool()
            .allocation()
            .await
            .map_err(|error| error.0)?;
        let data = match &told {
            Some(data) => store::whole_units(data, unit, size),
            None => iter::once(0..size).collect(),
        };
        let made = store::create(&self.folder).map_err(|error| self.no_file(&error))?;
        let (file, free) = made;
        let needed = store::sum(&data);
        if needed > most {
            let parts = if told.is_some() {
                ""
            } else {
                " (the server does not say which parts of the disk are empty)"
            };
            return Err(format!(
                "{} has {} of data{parts}, and the cache may take {}: give a larger --cache-size, or go on without --hydrate",
                info.name,
                show_mebibytes(needed),
                show_mebibytes(most)
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
        store.map(Arc::new).map_err(|error| self.no_file(&error))
    }

    fn no_file(&self, error: &io::Error) -> String {
        format!("cannot make a cache in {}: {error}", self.folder.display())
    }

    /// Where the disk holds nothing, as far as that is known.
    pub(super) fn extents(&self, offset: u64, each: &mut dyn FnMut(Extent) -> bool) {
        let size = self.ahead.pool().disk().info().size;
        let store = self.store();
        let data = store.as_ref().map_or(&[][..], |store| store.data());
        let known = store.is_some();
        let mut at = offset;
        let first = data.partition_point(|run| run.end <= offset);
        let runs = data.get(first..).unwrap_or_default();
        for run in runs.iter().cloned().chain(iter::once(size..size)) {
            for (end, hole) in [(run.start, known), (run.end, false)] {
                let length = end.saturating_sub(at);
                let extent = Extent {
                    length,
                    hole,
                    zero: hole,
                };
                if length > 0 && !each(extent) {
                    return;
                }
                at = at.max(end);
            }
        }
    }
}

fn cannot_write(error: &io::Error) -> String {
    format!("the cache cannot be written: {error}")
}
