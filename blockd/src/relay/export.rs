//! The relayed disk, as the server for local clients exports it.

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};

use super::{ahead::Ahead, cache::Cache};
use blockd_nbd::{Export, ExportInfo, Exports, Extent, OpenError, ReadError, budget::Spender};

/// The disk of the servers, and what is cached of it.
#[derive(Clone, Debug)]
pub(super) struct RelayExport {
    ahead: Arc<Ahead>,
    cache: Option<Arc<Cache>>,
}

impl RelayExport {
    pub(super) fn new(ahead: Arc<Ahead>, cache: Option<Arc<Cache>>) -> Self {
        Self { ahead, cache }
    }
}

impl Export for RelayExport {
    fn info(&self) -> &ExportInfo {
        self.ahead.pool().disk().info()
    }

    fn try_read_cached(&self, offset: u64, buffer: &mut [u8]) -> Option<Result<(), ReadError>> {
        let cache = self.cache.as_ref()?;
        cache.try_read(offset, buffer).then_some(Ok(()))
    }

    fn read(
        self: Arc<Self>,
        offset: u64,
        length: u32,
    ) -> BoxFuture<'static, Result<Vec<u8>, ReadError>> {
        async move {
            match &self.cache {
                Some(cache) => cache.read(offset, length).await,
                None => self.ahead.read(offset, length).await,
            }
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
    fn list(&self) -> BoxFuture<'_, Vec<(String, String)>> {
        let info = self.0.info();
        let list = vec![(info.name.clone(), info.description.clone())];
        async move { list }.boxed()
    }

    fn open<'a>(
        &'a self,
        name: &'a str,
        _: Spender,
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
