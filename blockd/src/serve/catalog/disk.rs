//! An image as an export.

use std::{
    fmt,
    num::NonZeroUsize,
    pin::pin,
    sync::Arc,
    thread::{self, available_parallelism},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use imagegen::image::Image;
use serde::Serialize;
use tokio::{
    sync::oneshot,
    task::spawn_blocking,
    time::{Instant, timeout},
};
use tracing::{Span, warn};

use super::{plans::Charges, priority};

use blockd_nbd::{
    BlockSize, ExportInfo, Extent, ReadError,
    budget::{Spender, Turns},
};

/// Limits how much work that may block is done at once; clients take turns.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    turns: Turns,
    threads: Threads,
}

#[derive(Clone, Copy, Debug)]
enum Threads {
    /// Of the runtime, which go on with other work.
    Shared,
    /// One for each work, that may become nicer than others.
    Own,
}

/// Work that is done in turn.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How much is being done.
    pub running: usize,
    /// How much may be done at once.
    pub limit: usize,
    /// How much waits for its turn.
    pub waiting: usize,
}

impl Pool {
    /// For work that is often too short to start a thread for.
    pub(super) fn of_reads() -> Self {
        Self::new(cores() * 2, Threads::Shared)
    }

    /// For work that may take long, and then goes after reads.
    pub(super) fn of_opens() -> Self {
        Self::new(cores() * 2, Threads::Own)
    }

    /// For work that nobody waits for, and that goes after reads: it leaves them
    /// cores.
    pub(super) fn of_prefetches() -> Self {
        Self::new(cores().div_ceil(2), Threads::Own)
    }

    fn new(count: usize, threads: Threads) -> Self {
        let turns = Turns::new(count);
        Self { turns, threads }
    }

    /// How much is being done and waits, and how much may be done at once.
    pub(super) fn load(&self) -> Load {
        let (running, limit) = self.turns.in_use();
        Load {
            running,
            limit,
            waiting: self.turns.waiting(),
        }
    }

    /// Runs `work` in a thread that may block.
    ///
    /// # Errors
    ///
    /// The work has panicked, or the server is stopping.
    pub(crate) async fn run<T, F>(&self, by: Spender, work: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let permit = self.turns.take(by).await;
        // Lines in the log about it say which connection it is of.
        let span = Span::current();
        let work = move || {
            let done = span.in_scope(work);
            drop(permit);
            done
        };
        match self.threads {
            Threads::Shared => {
                let done = spawn_blocking(work).await;
                done.map_err(|error| ReadError(format!("the read failed: {error}")))
            }
            Threads::Own => in_own_thread(work).await,
        }
    }
}

/// On a system that does not tell, as on one with two.
fn cores() -> usize {
    available_parallelism().map_or(2, NonZeroUsize::get)
}

async fn in_own_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ReadError> {
    let (done, result) = oneshot::channel();
    let work = move || {
        priority::begin();
        // Whoever has waited may be gone.
        drop(done.send(work()));
    };
    let started = thread::Builder::new().name("open".into()).spawn(work);
    started.map_err(|error| ReadError(format!("cannot start a thread: {error}")))?;
    let result = result.await;
    result.map_err(|_| ReadError("the server has failed at it: its log has more".into()))
}

/// Where a disk is read.
#[derive(Clone, Debug)]
pub(crate) struct Pools {
    /// So that reads need not wait for images that are being opened.
    pub(super) reads: Pool,
    /// For `NBD_CMD_CACHE`.
    pub(super) prefetches: Pool,
}

/// One opened image.
pub(crate) struct Disk {
    info: ExportInfo,
    image: Arc<Image>,
    pub(super) charges: Arc<Charges>,
    pools: Pools,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Disk").field(&self.info.name).finish()
    }
}

/// The size of an image, and of its plan.
#[derive(Clone, Debug, Serialize)]
pub struct ImageInfo {
    /// The canonical name.
    pub name: String,
    /// Bytes on the disk.
    pub size: u64,
    /// Bytes at its front that hold all metadata.
    pub prefix: u64,
    /// Files and links, those in `.git` among them.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Bytes of memory behind the plan.
    pub plan_bytes: usize,
    /// Bytes of memory behind the listings it shares with other images.
    pub listing_bytes: usize,
}

impl ImageInfo {
    /// Bytes of memory in all.
    pub fn memory(&self) -> usize {
        self.plan_bytes + self.listing_bytes
    }
}

/// How long a read may take before a warning is logged, and again after as
/// long: the kernel's client closes a connection after 30 seconds.
const SLOW_READ_INTERVAL: Duration = Duration::from_secs(10);
/// Bytes that a prefetch reads, and discards, at once.
const PREFETCH_STEP: usize = 1 << 20;

impl Disk {
    pub(super) fn new(name: String, image: Image, charges: Arc<Charges>, pools: Pools) -> Self {
        let description = format!("{name}, ext4, read-only, prefix={}", image.prefix());
        let info = ExportInfo {
            description,
            size: image.size(),
            block_size: BlockSize::default(),
            name,
        };
        Self {
            info,
            image: Arc::new(image),
            charges,
            pools,
        }
    }

    pub(crate) fn image_info(&self) -> ImageInfo {
        let image = &self.image;
        ImageInfo {
            name: self.info.name.clone(),
            size: image.size(),
            prefix: image.prefix(),
            files: image.files(),
            directories: image.directories(),
            plan_bytes: image.heap_bytes(),
            listing_bytes: image.listing_bytes(),
        }
    }

    /// Waits for a read, and logs a warning when it takes long.
    async fn warn_if_slow<T>(&self, offset: u64, reading: impl Future<Output = T>) -> T {
        let begun = Instant::now();
        let mut reading = pin!(reading);
        loop {
            if let Ok(read) = timeout(SLOW_READ_INTERVAL, &mut reading).await {
                return read;
            }
            let (export, lies_there) = (&self.info.name, self.image.describe(offset));
            let seconds = begun.elapsed().as_secs();
            warn!(%export, offset, lies_there, seconds, "a read is still unanswered");
        }
    }

    /// Logs that a read has failed.
    fn failed(&self, offset: u64, error: &imagegen::Error) -> ReadError {
        let export = &self.info.name;
        warn!(%export, offset, lies_there = self.image.describe(offset), %error, "read failed");
        ReadError(error.to_string())
    }
}

/// As [`blockd_nbd::Export`] has them, for one of the connections that share it.
impl Disk {
    pub(crate) fn info(&self) -> &ExportInfo {
        &self.info
    }

    pub(crate) fn try_read_cached(
        &self,
        offset: u64,
        buffer: &mut [u8],
    ) -> Option<Result<(), ReadError>> {
        match self.image.try_read_cached(offset, buffer) {
            Ok(true) => Some(Ok(())),
            Ok(false) => None,
            Err(error) => Some(Err(self.failed(offset, &error))),
        }
    }

    pub(crate) fn read(
        self: Arc<Self>,
        by: Spender,
        offset: u64,
        length: u32,
    ) -> BoxFuture<'static, Result<Vec<u8>, ReadError>> {
        async move {
            let disk = Arc::clone(&self);
            let read = move || {
                let mut buffer =
                    vec![0; usize::try_from(length).expect("a usize has at least 32 bits")];
                let read = disk.image.read_at(offset, &mut buffer);
                read.map(|()| buffer)
                    .map_err(|error| disk.failed(offset, &error))
            };
            self.warn_if_slow(offset, self.pools.reads.run(by, read))
                .await?
        }
        .boxed()
    }

    pub(crate) fn extents(&self, mut offset: u64, each: &mut dyn FnMut(Extent) -> bool) {
        while let Some(run) = self.image.allocated(offset) {
            let empty = !run.allocated;
            if !each(Extent {
                length: run.length,
                hole: empty,
                zero: empty,
            }) {
                break;
            }
            offset += run.length;
        }
    }

    /// Reads, and discards, a step at a time, so that others have their turns
    /// between the steps, and a client that is gone ends it.
    pub(crate) fn prefetch(
        self: Arc<Self>,
        by: Spender,
        offset: u64,
        length: u64,
    ) -> BoxFuture<'static, Result<(), ReadError>> {
        async move {
            let end = offset + length;
            for start in (offset..end).step_by(PREFETCH_STEP) {
                // The last part may be shorter, and then it fits a usize.
                let left = usize::try_from(end - start);
                let step = left.map_or(PREFETCH_STEP, |left| left.min(PREFETCH_STEP));
                let disk = Arc::clone(&self);
                let read = move || {
                    priority::plan();
                    let mut buffer = vec![0; step];
                    let read = disk.image.read_at(start, &mut buffer);
                    read.map_err(|error| disk.failed(start, &error))
                };
                self.pools.prefetches.run(by, read).await??;
            }
            Ok(())
        }
        .boxed()
    }
}
