//! Copy on write: the disk of the upstreams, and over it the blocks that were
//! changed here.
//!
//! ```text
//! write ─► Store (DIR/blocks, DIR/map)
//! read ──► map ─┬─ Data, Zero ─► Store
//!               └─ Original ───► the export below
//! ```

mod journal;
mod map;
mod store;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    path::Path,
    sync::{Arc, Weak},
    time::Duration,
};

use anyhow::Result;
use futures_util::{
    FutureExt,
    future::{BoxFuture, try_join_all},
};
use tokio::{sync::Mutex, task::spawn_blocking, time::sleep};
use tracing::warn;

use self::{
    journal::About,
    map::{BLOCK, Block},
    store::Store,
};
use super::protocol::ChangedStatus;
use blockd_nbd::{Export, ExportInfo, Extent, ReadError, WriteError, Writes, Written};

/// What nobody flushes is flushed after this long.
const EVERY: Duration = Duration::from_secs(5);

/// A disk that can be written.
pub(super) struct Cow {
    below: Arc<dyn Export>,
    store: Arc<Store>,
    /// Parts of blocks are written one after the other: each is read first.
    parts: Mutex<()>,
    /// Itself, for those who write.
    own: Weak<Self>,
}

impl Cow {
    /// Opens the changes that `folder` holds over a disk. Must be called
    /// inside a runtime.
    pub(super) fn open(below: Arc<dyn Export>, folder: &Path) -> Result<Arc<Self>> {
        let info = below.info();
        let about = About {
            name: info.name.clone(),
            size: info.size,
        };
        let store = Arc::new(Store::open(folder, about)?);
        tokio::spawn(flush_now_and_then(Arc::downgrade(&store)));
        Ok(Arc::new_cyclic(|own| Self {
            below,
            store,
            parts: Mutex::new(()),
            own: Weak::clone(own),
        }))
    }

    pub(super) fn changed(&self) -> ChangedStatus {
        let (data, zero) = self.store.counts();
        ChangedStatus {
            blocks: data + zero,
            bytes: data * BLOCK,
        }
    }

    async fn merged(&self, offset: u64, length: u32) -> Result<Vec<u8>, ReadError> {
        let end = offset + u64::from(length);
        let runs = self.store.runs(offset / BLOCK, end.div_ceil(BLOCK));
        if let [(Block::Original, ..)] = runs.as_slice() {
            return Arc::clone(&self.below).read(offset, length).await;
        }
        let parts = runs.into_iter().map(|(kind, first, count)| {
            let start = offset.max(first * BLOCK);
            let length = end.min((first + count) * BLOCK) - start;
            // A part of a range of u32.
            let length = u32::try_from(length).unwrap_or(u32::MAX);
            self.part(kind, start, length)
        });
        Ok(try_join_all(parts).await?.concat())
    }

    async fn part(&self, kind: Block, offset: u64, length: u32) -> Result<Vec<u8>, ReadError> {
        if kind == Block::Original {
            return Arc::clone(&self.below).read(offset, length).await;
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        if kind == Block::Zero {
            return Ok(bytes);
        }
        let store = Arc::clone(&self.store);
        let read = spawn_blocking(move || store.read(offset, &mut bytes).map(|()| bytes));
        let failed = |error: &dyn ToString| ReadError(error.to_string());
        let read = read.await.map_err(|error| failed(&error))?;
        read.map_err(|error| failed(&format!("a changed block cannot be read: {error}")))
    }

    /// Writes blocks that are whole, in a thread that may wait for the disk.
    async fn on_storage(
        &self,
        work: impl FnOnce(&Store) -> Result<(), WriteError> + Send + 'static,
    ) -> Result<(), WriteError> {
        let store = Arc::clone(&self.store);
        let done = spawn_blocking(move || work(&store)).await;
        done.unwrap_or_else(|error| Err(WriteError::Failed(error.to_string())))
    }

    /// Writes any range: blocks at its ends that are not whole are read first.
    async fn put(&self, offset: u64, data: Vec<u8>, durable: bool) -> Result<(), WriteError> {
        let length = u64::try_from(data.len()).unwrap_or(0);
        if length == 0 {
            return Ok(());
        }
        let whole = offset.is_multiple_of(BLOCK) && length.is_multiple_of(BLOCK);
        let _alone = if whole {
            None
        } else {
            Some(self.parts.lock().await)
        };
        let (offset, data) = if whole {
            (offset, data)
        } else {
            self.completed(offset, &data).await?
        };
        let write = move |store: &Store| {
            store.write(offset, &data)?;
            if durable { store.flush() } else { Ok(()) }
        };
        self.on_storage(write).await
    }

    /// The whole blocks around a range, with the range's bytes put in.
    async fn completed(&self, offset: u64, data: &[u8]) -> Result<(u64, Vec<u8>), WriteError> {
        let start = offset / BLOCK * BLOCK;
        let end = offset + u64::try_from(data.len()).unwrap_or(0);
        let wanted = end.next_multiple_of(BLOCK).min(self.info().size) - start;
        let length = u32::try_from(wanted).unwrap_or(u32::MAX);
        let around = self.merged(start, length).await;
        let mut around = around.map_err(|error| WriteError::Failed(error.0))?;
        let at = usize::try_from(offset - start).unwrap_or(0);
        if let Some(place) = around.get_mut(at..at + data.len()) {
            place.copy_from_slice(data);
        }
        Ok((start, around))
    }

    async fn clear(&self, offset: u64, length: u64, durable: bool) -> Result<(), WriteError> {
        let end = offset + length;
        let first = offset.next_multiple_of(BLOCK).min(end);
        let last = (end / BLOCK * BLOCK).max(first);
        for (from, to) in [(offset, first), (last, end)] {
            let zeroes = vec![0; usize::try_from(to - from).unwrap_or(0)];
            self.put(from, zeroes, false).await?;
        }
        let clear = move |store: &Store| {
            if first < last {
                store.zero(first, last - first)?;
            }
            if durable { store.flush() } else { Ok(()) }
        };
        self.on_storage(clear).await
    }
}

impl fmt::Debug for Cow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Cow")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

async fn flush_now_and_then(store: Weak<Store>) {
    loop {
        sleep(EVERY).await;
        let Some(store) = store.upgrade() else {
            return;
        };
        match spawn_blocking(move || store.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!("{error}"),
            Err(error) => warn!("{error}"),
        }
    }
}

impl Export for Cow {
    fn info(&self) -> &ExportInfo {
        self.below.info()
    }

    fn read_ready(&self, _: u64, _: &mut [u8]) -> Option<Result<(), ReadError>> {
        None
    }

    fn read(
        self: Arc<Self>,
        offset: u64,
        length: u32,
    ) -> BoxFuture<'static, Result<Vec<u8>, ReadError>> {
        async move { self.merged(offset, length).await }.boxed()
    }

    /// To call everything data is always true.
    fn extents(&self, offset: u64, each: &mut dyn FnMut(Extent) -> bool) {
        self.below.extents(offset, &mut |extent| {
            each(Extent {
                hole: false,
                zero: false,
                ..extent
            })
        });
    }

    fn prefetch(
        self: Arc<Self>,
        offset: u64,
        length: u64,
    ) -> BoxFuture<'static, Result<(), ReadError>> {
        Arc::clone(&self.below).prefetch(offset, length)
    }

    fn writes(&self) -> Option<Arc<dyn Writes>> {
        let own: Arc<dyn Writes> = self.own.upgrade()?;
        Some(own)
    }
}

impl Writes for Cow {
    fn write(self: Arc<Self>, offset: u64, data: Vec<u8>, durable: bool) -> Written {
        async move { self.put(offset, data, durable).await }.boxed()
    }

    fn zero(self: Arc<Self>, offset: u64, length: u64, durable: bool) -> Written {
        async move { self.clear(offset, length, durable).await }.boxed()
    }

    fn flush(self: Arc<Self>) -> Written {
        async move { self.on_storage(Store::flush).await }.boxed()
    }
}
