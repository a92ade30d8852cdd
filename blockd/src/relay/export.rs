//! The relayed disk, as the server for local clients exports it.

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};

use super::{
    ahead::Ahead,
    cache::Cache,
    first_block::{self, FirstBlock},
};
use blockd_nbd::{Export, ExportInfo, Exports, Extent, Identity, OpenError, ReadError};

/// The disk of the servers, and what is cached of it.
#[derive(Clone, Debug)]
pub(super) struct RelayExport {
    ahead: Arc<Ahead>,
    cache: Option<Arc<Cache>>,
    first: Arc<FirstBlock>,
}

impl RelayExport {
    pub(super) fn new(ahead: Arc<Ahead>, cache: Option<Arc<Cache>>) -> Self {
        Self {
            ahead,
            cache,
            first: Arc::default(),
        }
    }

    async fn read_below(&self, offset: u64, length: u32) -> Result<Vec<u8>, ReadError> {
        match &self.cache {
            Some(cache) => cache.read(offset, length).await,
            None => self.ahead.read(offset, length).await,
        }
    }

    /// Reads the first block, if none is kept.
    async fn keep_first(&self) -> Result<(), ReadError> {
        if !self.first.is_known() {
            let info = self.info();
            let length = first_block::LENGTH.max(info.block_size.minimum);
            let length = u32::try_from(info.size).map_or(length, |size| length.min(size));
            let mut block = self.read_below(0, length).await?;
            block.truncate(first_block::BYTES);
            self.first.keep(block);
        }
        Ok(())
    }
}

impl Export for RelayExport {
    fn info(&self) -> &ExportInfo {
        self.ahead.pool().disk().info()
    }

    fn try_read_cached(&self, offset: u64, buffer: &mut [u8]) -> Option<Result<(), ReadError>> {
        let cache = self.cache.as_ref()?;
        if FirstBlock::is_in(offset) && !self.first.is_known() {
            return None;
        }
        let is_read = cache.try_read(offset, buffer);
        if is_read {
            self.first.put_over(offset, buffer);
        }
        is_read.then_some(Ok(()))
    }

    fn read(
        self: Arc<Self>,
        offset: u64,
        length: u32,
    ) -> BoxFuture<'static, Result<Vec<u8>, ReadError>> {
        async move {
            if FirstBlock::is_in(offset) {
                self.keep_first().await?;
            }
            let mut bytes = self.read_below(offset, length).await?;
            self.first.put_over(offset, &mut bytes);
            Ok(bytes)
        }
        .boxed()
    }

    /// The servers know where the holes are, and the cache has asked them.
    /// Without a cache all is data, which is always a valid answer.
    fn extents(&self, offset: u64, each: &mut dyn FnMut(Extent) -> bool) {
        if let Some(cache) = &self.cache {
            return cache.extents(offset, each);
        }
        if let Some(length @ 1..) = self.info().size.checked_sub(offset) {
            each(Extent {
                length,
                hole: false,
                zero: false,
            });
        }
    }

    /// Does nothing: the page cache of the local kernel holds what is read.
    fn prefetch(self: Arc<Self>, _: u64, _: u64) -> BoxFuture<'static, Result<(), ReadError>> {
        async { Ok(()) }.boxed()
    }
}

/// The only export of a relay, under its canonical name and under the empty
/// one.
pub(super) struct Only(pub(super) Arc<dyn Export>);

impl Exports for Only {
    fn list(&self, _: &Identity) -> BoxFuture<'_, Vec<(String, String)>> {
        let info = self.0.info();
        let list = vec![(info.name.clone(), info.description.clone())];
        async move { list }.boxed()
    }

    fn open<'a>(
        &'a self,
        name: &'a str,
        _: &Identity,
    ) -> BoxFuture<'a, Result<Arc<dyn Export>, OpenError>> {
        let canonical = &self.0.info().name;
        let opened = if name.is_empty() || name == canonical {
            Ok(Arc::clone(&self.0))
        } else {
            let text = format!("this relay has only the export {canonical:?}");
            Err(OpenError::Unknown(text))
        };
        async move { opened }.boxed()
    }
}
