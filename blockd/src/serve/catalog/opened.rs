//! A disk as one connection sees it.

use std::sync::Arc;

use blockd_nbd::{Export, ExportInfo, Extent, ReadError, budget::Spender};
use futures_util::future::BoxFuture;

use super::{disk::Disk, revision_pins::PinGuard};

/// A disk as one connection has opened it: while it lives, the revision of its
/// name stays pinned.
pub(super) struct Opened<T> {
    pub(super) disk: Arc<Disk>,
    pub(super) by: Spender,
    #[expect(dead_code, reason = "it is held, not read")]
    pub(super) pin: Option<PinGuard<T>>,
}

impl<T: Send + Sync + 'static> Export for Opened<T> {
    fn info(&self) -> &ExportInfo {
        self.disk.info()
    }

    fn try_read_cached(&self, offset: u64, buffer: &mut [u8]) -> Option<Result<(), ReadError>> {
        self.disk.try_read_cached(offset, buffer)
    }

    fn read(
        self: Arc<Self>,
        offset: u64,
        length: u32,
    ) -> BoxFuture<'static, Result<Vec<u8>, ReadError>> {
        Arc::clone(&self.disk).read(self.by, offset, length)
    }

    fn extents(&self, offset: u64, each: &mut dyn FnMut(Extent) -> bool) {
        self.disk.extents(offset, each);
    }

    fn prefetch(
        self: Arc<Self>,
        offset: u64,
        length: u64,
    ) -> BoxFuture<'static, Result<(), ReadError>> {
        Arc::clone(&self.disk).prefetch(self.by, offset, length)
    }
}
