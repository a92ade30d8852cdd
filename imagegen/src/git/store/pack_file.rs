//! Packs on disk, of which the ones used last are mapped into memory.
//!
//! A kernel limits the maps of a process (`vm.max_map_count`), and a repository
//! may have any number of packs.

use std::{
    fmt,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::SystemTime,
};

use gix::hash;
use lru::LruCache;
use tracing::warn;

use super::pack::Pack;
use crate::{
    error::{Error, Kind, Result},
    git::{sync::lock, wall::Wall},
};

/// The packs that are mapped, of all repositories: at most `most` of them, each
/// with two maps.
pub(in crate::git) struct MappedPacks(Mutex<LruCache<u32, Arc<Pack>>>);

impl MappedPacks {
    pub(in crate::git) fn new(most: NonZeroUsize) -> Self {
        Self(Mutex::new(LruCache::new(most)))
    }

    /// How many are mapped.
    #[cfg(test)]
    pub(in crate::git) fn len(&self) -> usize {
        lock(&self.0).len()
    }
}

impl fmt::Debug for MappedPacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} mapped packs", lock(&self.0).len())
    }
}

/// Identifies a file, also against a later file at the same path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) path: PathBuf,
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) modified: SystemTime,
}

/// A pack and its index on disk.
pub(super) struct PackFile {
    /// By which the caches distinguish packs.
    id: u32,
    /// That of the index.
    origin: Origin,
    format: hash::Kind,
    wall: Wall,
    mapped: Arc<MappedPacks>,
    /// Set if it remains mapped.
    pinned: OnceLock<Arc<Pack>>,
    /// Why it is not usable, once that was found.
    damage: OnceLock<String>,
}

impl PackFile {
    pub(super) fn new(
        origin: Origin,
        format: hash::Kind,
        wall: &Wall,
        mapped: &Arc<MappedPacks>,
    ) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            origin,
            format,
            wall: wall.clone(),
            mapped: Arc::clone(mapped),
            pinned: OnceLock::new(),
            damage: OnceLock::new(),
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.id
    }

    pub(super) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The path of its index.
    pub(super) fn path(&self) -> &Path {
        &self.origin.path
    }

    /// Why it cannot be used, if that is known.
    pub(super) fn damage(&self) -> Option<&str> {
        self.damage.get().map(String::as_str)
    }

    /// Maps the pack, and keeps it mapped. Damage is found when it is read.
    pub(super) fn pin(&self) {
        if let Ok(pack) = self.open() {
            self.pinned.get_or_init(|| pack);
        }
    }

    /// The pack, which is mapped unless it is.
    ///
    /// # Errors
    ///
    /// [`Kind::NotFound`] if it was removed, [`Kind::Corrupt`] if it is damaged,
    /// [`Kind::Io`] if the disk fails.
    pub(super) fn open(&self) -> Result<Arc<Pack>> {
        if let Some(pack) = self.pinned.get() {
            return self.checked(Arc::clone(pack));
        }
        let mapped = lock(&self.mapped.0).get(&self.id).cloned();
        if let Some(pack) = mapped {
            return self.checked(pack);
        }
        if let Some(damage) = self.damage() {
            return Err(Error::new(Kind::Corrupt, damage));
        }
        let pack = Pack::open(&self.origin.path, self.format, self.id, &self.wall);
        let pack = Arc::new(pack.map_err(|error| self.failed(error))?);
        let evicted = lock(&self.mapped.0).push(self.id, Arc::clone(&pack));
        // Unmapped without the lock.
        drop(evicted);
        Ok(pack)
    }

    /// The pack, if no page of it is gone; else it is not used again.
    fn checked(&self, pack: Arc<Pack>) -> Result<Arc<Pack>> {
        match pack.check() {
            Ok(()) => Ok(pack),
            Err(damage) => {
                drop(lock(&self.mapped.0).pop(&self.id));
                Err(self.failed(damage))
            }
        }
    }

    /// Records damage, with a line in the log; not that it was removed.
    fn failed(&self, error: Error) -> Error {
        let path = &self.origin.path;
        if !path.exists() || !path.with_extension("pack").exists() {
            return error.of_kind(Kind::NotFound);
        }
        if error.kind() == Kind::Corrupt && self.damage.set(error.to_string()).is_ok() {
            warn!("a pack is not used: {error}");
        }
        error
    }
}

impl Drop for PackFile {
    fn drop(&mut self) {
        let pack = lock(&self.mapped.0).pop(&self.id);
        drop(pack);
    }
}
