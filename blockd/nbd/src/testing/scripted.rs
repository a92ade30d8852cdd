//! A disk that waits, fails or panics where a test wants it to.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    sync::{Notify, Semaphore},
    time::sleep,
};

use crate::export::{BlockSize, Export, ExportInfo, Exports, Extent, OpenError, ReadError};
use crate::identity::Identity;

/// The disk is cut into regions of this size, each with a [`Region`].
pub(crate) const REGION: u64 = 64 << 10;

/// How reads of a part of the disk behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Region {
    Data,
    /// Not allocated, reads as zeroes.
    Hole,
    /// Deferred, until [`Scripted::gate`] has a permit.
    Slow,
    Broken,
    SlowAndBroken,
    /// Deferred, and a byte too short.
    Short,
    Panics,
    /// Deferred, and panics then.
    SlowAndPanics,
}

/// A disk that follows a script.
pub(crate) struct Scripted {
    info: ExportInfo,
    regions: Vec<Region>,
    /// A permit for each slow read that may go on.
    pub(crate) gate: Semaphore,
    /// Notified when a slow read has begun.
    pub(crate) slow_read: Notify,
    pub(crate) prefetched: AtomicUsize,
    pub(crate) opened: AtomicUsize,
}

/// The byte at an offset.
pub(crate) fn pattern(offset: u64) -> u8 {
    (offset / 512 % 251 + 1) as u8
}

impl Scripted {
    pub(crate) fn new(regions: &[Region]) -> Arc<Self> {
        Self::with_block_size(regions, BlockSize::default())
    }

    pub(crate) fn with_block_size(regions: &[Region], block_size: BlockSize) -> Arc<Self> {
        let size = regions.len() as u64 * REGION;
        let (name, description) = (
            "disk@canonical".into(),
            "a disk that follows a script".into(),
        );
        Arc::new(Self {
            info: ExportInfo {
                name,
                description,
                size,
                block_size,
            },
            regions: regions.to_vec(),
            gate: Semaphore::new(0),
            slow_read: Notify::new(),
            prefetched: AtomicUsize::new(0),
            opened: AtomicUsize::new(0),
        })
    }

    /// The bytes of a range, as a successful read returns them.
    pub(crate) fn bytes(&self, offset: u64, length: usize) -> Vec<u8> {
        let byte = |offset| match self.regions[(offset / REGION) as usize] {
            Region::Hole => 0,
            _ => pattern(offset),
        };
        (offset..).take(length).map(byte).collect()
    }

    fn touches(&self, offset: u64, length: usize, regions: &[Region]) -> bool {
        let last = offset + length as u64 - 1;
        let touched = &self.regions[(offset / REGION) as usize..=(last / REGION) as usize];
        touched.iter().any(|region| regions.contains(region))
    }
}

impl Export for Scripted {
    fn info(&self) -> &ExportInfo {
        &self.info
    }

    fn try_read_cached(&self, offset: u64, buffer: &mut [u8]) -> Option<Result<(), ReadError>> {
        let length = buffer.len();
        assert!(!self.touches(offset, length, &[Region::Panics]), "panics");
        let deferred = [
            Region::Slow,
            Region::SlowAndBroken,
            Region::Short,
            Region::SlowAndPanics,
        ];
        if self.touches(offset, length, &deferred) {
            return None;
        }
        if self.touches(offset, length, &[Region::Broken]) {
            return Some(Err(ReadError(format!("broken at {offset}"))));
        }
        buffer.copy_from_slice(&self.bytes(offset, length));
        Some(Ok(()))
    }

    fn read(
        self: Arc<Self>,
        offset: u64,
        length: u32,
    ) -> BoxFuture<'static, Result<Vec<u8>, ReadError>> {
        async move {
            let length = length as usize;
            let panics = self.touches(offset, length, &[Region::SlowAndPanics]);
            assert!(!panics, "panics slowly");
            if self.touches(offset, length, &[Region::Slow]) {
                self.slow_read.notify_one();
                self.gate.acquire().await.unwrap().forget();
            }
            if self.touches(offset, length, &[Region::SlowAndBroken]) {
                return Err(ReadError("slowly broken".into()));
            }
            let short = self.touches(offset, length, &[Region::Short]);
            Ok(self.bytes(offset, length - usize::from(short)))
        }
        .boxed()
    }

    fn extents(&self, offset: u64, visit: &mut dyn FnMut(Extent) -> bool) {
        let mut at = offset;
        while at < self.info.size {
            let end = (at / REGION + 1) * REGION;
            let zero = self.regions[(at / REGION) as usize] == Region::Hole;
            if !visit(Extent {
                length: end - at,
                hole: zero,
                zero,
            }) {
                return;
            }
            at = end;
        }
    }

    fn prefetch(self: Arc<Self>, _: u64, length: u64) -> BoxFuture<'static, Result<(), ReadError>> {
        async move {
            self.prefetched
                .fetch_add(length as usize, Ordering::Relaxed);
            Ok(())
        }
        .boxed()
    }
}

/// One scripted disk, as `disk` and as the default export; other names are
/// errors of each kind.
pub(crate) struct ScriptedExports(pub(crate) Arc<Scripted>);

impl Exports for ScriptedExports {
    fn list(&self, _: &Identity) -> BoxFuture<'_, Vec<(String, String)>> {
        let named = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let list = vec![
            named("disk", "first"),
            named(&"x".repeat(4097), ""),
            named("has\0nul", ""),
            named("other", ""),
        ];
        async move { list }.boxed()
    }

    fn open<'a>(
        &'a self,
        name: &'a str,
        _: &Identity,
    ) -> BoxFuture<'a, Result<Arc<dyn Export>, OpenError>> {
        async move {
            self.0.opened.fetch_add(1, Ordering::Relaxed);
            let export: Arc<dyn Export> = Arc::<Scripted>::clone(&self.0);
            match name {
                "" | "disk" | "other" => Ok(export),
                "invalid" => Err(OpenError::Invalid("that name is invalid".into())),
                "policy" => Err(OpenError::Policy("that one is forbidden".into())),
                "failed" => Err(OpenError::Failed("that one cannot be opened".into())),
                // Nothing ends it but that nobody waits any more.
                "endless" => pending().await,
                "slow" => {
                    sleep(Duration::from_millis(300)).await;
                    Ok(export)
                }
                name => Err(OpenError::Unknown(format!("no export is named {name:?}"))),
            }
        }
        .boxed()
    }
}
