//! Which files of a repository are read first: recorded by path, so that it
//! holds for other commits, and told to who attaches next.
//!
//! Both go over NBD as it is. `…:profile=record` is the disk itself, and what
//! a client reads there is what it wants recorded; `…:profile=warm` is a disk
//! that holds the recorded paths.

mod store;

use std::{
    collections::BTreeSet,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{FutureExt, future::BoxFuture};
use tracing::{info, warn};

pub(crate) use self::store::Profiles;
use super::{Opened, disk::Disk};
use blockd_nbd::{BlockSize, Export, ExportInfo, Extent, ReadError};

/// So much of what was recorded is inflated ahead, in bytes.
const WARM_MOST: u64 = 256 << 20;
/// A disk is whole blocks.
const BLOCK: usize = 4096;

/// What an export is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// To say which files a session has read.
    Record,
    /// To hear which files sessions read.
    Warm,
}

/// The disk, and which of its files were read through this.
pub(super) struct Recording {
    opened: Arc<Opened>,
    repository: String,
    profiles: Profiles,
    paths: Mutex<BTreeSet<Vec<u8>>>,
}

impl Recording {
    pub(super) fn new(opened: Opened, repository: String, profiles: Profiles) -> Self {
        Self {
            opened: Arc::new(opened),
            repository,
            profiles,
            paths: Mutex::default(),
        }
    }

    fn note(&self, offset: u64) {
        if let Some(path) = self.opened.disk.image().file_at(offset) {
            let mut paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
            if paths.len() < store::PATHS {
                paths.insert(path);
            }
        }
    }
}

/// The client has said what it had to say.
impl Drop for Recording {
    fn drop(&mut self) {
        let paths = self.paths.get_mut().unwrap_or_else(PoisonError::into_inner);
        if paths.is_empty() {
            return;
        }
        let (repository, files) = (&self.repository, paths.len());
        match self.profiles.add(repository, paths) {
            Ok(()) => info!(repository, files, "recorded what a session reads"),
            Err(error) => warn!(repository, %error, "cannot keep what a session reads"),
        }
    }
}

impl Export for Recording {
    fn info(&self) -> &ExportInfo {
        self.opened.info()
    }

    fn try_read_cached(&self, offset: u64, buffer: &mut [u8]) -> Option<Result<(), ReadError>> {
        self.note(offset);
        self.opened.try_read_cached(offset, buffer)
    }

    fn read(
        self: Arc<Self>,
        offset: u64,
        length: u32,
    ) -> BoxFuture<'static, Result<Vec<u8>, ReadError>> {
        Arc::clone(&self.opened).read(offset, length)
    }

    fn extents(&self, offset: u64, each: &mut dyn FnMut(Extent) -> bool) {
        self.opened.extents(offset, each);
    }

    fn prefetch(
        self: Arc<Self>,
        offset: u64,
        length: u64,
    ) -> BoxFuture<'static, Result<(), ReadError>> {
        self.note(offset);
        Arc::clone(&self.opened).prefetch(offset, length)
    }
}

/// The recorded paths that are files of this commit, a NUL behind each, then
/// NULs to the end.
pub(super) struct Warm {
    info: ExportInfo,
    bytes: Vec<u8>,
}

impl Warm {
    /// Lists what `recorded` and the disk have in common, and where it lies.
    pub(super) fn new(disk: &Disk, recorded: &BTreeSet<Vec<u8>>) -> (Self, Vec<Range<u64>>) {
        let (mut bytes, mut ranges, mut left) = (Vec::new(), Vec::new(), WARM_MOST);
        disk.image().each_file(&mut |path, range| {
            let length = range.end.saturating_sub(range.start);
            if length > left || !recorded.contains(path) {
                return;
            }
            left = left.saturating_sub(length);
            bytes.extend_from_slice(path);
            bytes.push(0);
            ranges.push(range);
        });
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        let name = format!("{}:profile=warm", disk.info().name);
        let info = ExportInfo {
            description: format!("the {} files that sessions read first", ranges.len()),
            size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            block_size: BlockSize::default(),
            name,
        };
        (Self { info, bytes }, ranges)
    }

    fn range(&self, offset: u64, length: usize) -> Result<&[u8], ReadError> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = self.bytes.get(start..).and_then(|rest| rest.get(..length));
        bytes.ok_or_else(|| ReadError(format!("{length} bytes at {offset} are not there")))
    }
}

impl Export for Warm {
    fn info(&self) -> &ExportInfo {
        &self.info
    }

    fn try_read_cached(&self, offset: u64, buffer: &mut [u8]) -> Option<Result<(), ReadError>> {
        let bytes = self.range(offset, buffer.len());
        Some(bytes.map(|bytes| buffer.copy_from_slice(bytes)))
    }

    fn read(
        self: Arc<Self>,
        offset: u64,
        length: u32,
    ) -> BoxFuture<'static, Result<Vec<u8>, ReadError>> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        async move { self.range(offset, length).map(<[u8]>::to_vec) }.boxed()
    }

    fn extents(&self, offset: u64, each: &mut dyn FnMut(Extent) -> bool) {
        let _asked_for_more = each(Extent {
            length: self.info.size.saturating_sub(offset),
            hole: false,
            zero: false,
        });
    }

    fn prefetch(self: Arc<Self>, _: u64, _: u64) -> BoxFuture<'static, Result<(), ReadError>> {
        async { Ok(()) }.boxed()
    }
}
