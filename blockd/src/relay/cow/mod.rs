//! Copy on write: the disk of the upstreams, and over it the blocks that were
//! changed on this host.
//!
//! ```text
//! write ─► Store (DIR/blocks, DIR/map)
//! read ──► map ─┬─ Data, Zero ─► Store
//!               └─ Original ───► the export below
//! ```

mod journal;
mod map;
mod record;
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

use self::{journal::DiskId, map::Block, record::BLOCK, store::Store};
use super::{
    buffer::{length_of, part_length, position, zeroes},
    protocol::ChangedStatus,
};
use blockd_nbd::{Export, ExportInfo, Extent, ReadError, WriteError, Writes, Written};

/// How often changes are flushed that no client flushes.
const FLUSH_INTERVAL: Duration = Duration::from_secs(5);

/// A disk that can be written.
pub(super) struct Cow {
    below: Arc<dyn Export>,
    store: Arc<Store>,
    /// Held while a part of a block is written: the block is read first.
    partial_write: Mutex<()>,
    /// Itself, for [`Export::writes`].
    own: Weak<Self>,
}

impl Cow {
    /// Opens the changes to a disk that `folder` holds, or an empty folder. Must
    /// be called inside a runtime.
    ///
    /// # Errors
    ///
    /// The folder cannot be used, is used by another relay, or holds changes to
    /// another disk.
    pub(super) fn open(below: Arc<dyn Export>, folder: &Path) -> Result<Arc<Self>> {
        let info = below.info();
        let disk = DiskId {
            name: info.name.clone(),
            size: info.size,
        };
        let store = Arc::new(Store::open(folder, disk)?);
        tokio::spawn(flush_regularly(Arc::downgrade(&store)));
        Ok(Arc::new_cyclic(|own| Self {
            below,
            store,
            partial_write: Mutex::new(()),
            own: Weak::clone(own),
        }))
    }

    /// How much was changed.
    pub(super) fn changed(&self) -> ChangedStatus {
        let (data, zero) = self.store.counts();
        ChangedStatus {
            blocks: data + zero,
            bytes: data * BLOCK,
        }
    }

    /// Reads a range, from the changes and from below.
    async fn merged(&self, offset: u64, length: u32) -> Result<Vec<u8>, ReadError> {
        let end = offset + u64::from(length);
        let runs = self.store.runs(offset / BLOCK, end.div_ceil(BLOCK));
        if let [(Block::Original, ..)] = runs.as_slice() {
            return Arc::clone(&self.below).read(offset, length).await;
        }
        let parts = runs.into_iter().map(|(kind, first, count)| {
            let start = offset.max(first * BLOCK);
            let length = end.min((first + count) * BLOCK) - start;
            self.read_run(kind, start, part_length(length))
        });
        Ok(try_join_all(parts).await?.concat())
    }

    /// Reads a part of blocks of one kind.
    async fn read_run(&self, kind: Block, offset: u64, length: u32) -> Result<Vec<u8>, ReadError> {
        if kind == Block::Original {
            return Arc::clone(&self.below).read(offset, length).await;
        }
        let mut bytes = zeroes(length.into());
        if kind == Block::Zero {
            return Ok(bytes);
        }
        let store = Arc::clone(&self.store);
        let read = spawn_blocking(move || store.read(offset, &mut bytes).map(|()| bytes));
        let failed = |error: &dyn ToString| ReadError(error.to_string());
        let read = read.await.map_err(|error| failed(&error))?;
        read.map_err(|error| failed(&format!("a changed block cannot be read: {error}")))
    }

    /// Does `work` in a thread that may wait for the local disk.
    async fn on_storage(
        &self,
        work: impl FnOnce(&Store) -> Result<(), WriteError> + Send + 'static,
    ) -> Result<(), WriteError> {
        let store = Arc::clone(&self.store);
        let done = spawn_blocking(move || work(&store)).await;
        done.unwrap_or_else(|error| Err(WriteError::Failed(error.to_string())))
    }

    /// Writes any range: blocks of which only a part is written are read first.
    async fn put(&self, offset: u64, data: Vec<u8>, durable: bool) -> Result<(), WriteError> {
        let length = length_of(&data);
        if length == 0 {
            return Ok(());
        }
        let whole = offset.is_multiple_of(BLOCK) && length.is_multiple_of(BLOCK);
        let _alone = if whole {
            None
        } else {
            Some(self.partial_write.lock().await)
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
        let end = offset + length_of(data);
        let length = end.next_multiple_of(BLOCK).min(self.info().size) - start;
        let around = self.merged(start, part_length(length)).await;
        let mut around = around.map_err(|error| WriteError::Failed(error.0))?;
        let at = position(offset - start);
        around[at..at + data.len()].copy_from_slice(data);
        Ok((start, around))
    }

    /// Makes any range zeroes.
    async fn clear(&self, offset: u64, length: u64, durable: bool) -> Result<(), WriteError> {
        let end = offset + length;
        let first = offset.next_multiple_of(BLOCK).min(end);
        let last = (end / BLOCK * BLOCK).max(first);
        for (from, to) in [(offset, first), (last, end)] {
            self.put(from, zeroes(to - from), false).await?;
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

async fn flush_regularly(store: Weak<Store>) {
    loop {
        sleep(FLUSH_INTERVAL).await;
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

    fn try_read_cached(&self, _: u64, _: &mut [u8]) -> Option<Result<(), ReadError>> {
        None
    }

    fn read(
        self: Arc<Self>,
        offset: u64,
        length: u32,
    ) -> BoxFuture<'static, Result<Vec<u8>, ReadError>> {
        async move { self.merged(offset, length).await }.boxed()
    }

    /// Reports no holes, which is always a valid answer: blocks below may have
    /// been changed.
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
