//! Removing snapshots that hold what was purged from a repository.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use gix::{ObjectId, hash};
use gix_pack::index;

use super::{
    SnapshotId, SnapshotStore, directory,
    expire::{forget_commits, subdirectories},
    store::remove,
};
use crate::{
    error::{Error, Kind, Result},
    git::{
        Cache, Objects, Repository, Wall,
        mapping::Mapping,
        repository,
        store::{self, Directory},
    },
};

/// Which snapshots of a repository are forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forget {
    /// Those with an object that the repository no longer has.
    Purged,
    /// Those with this object.
    Holding(ObjectId),
    /// All.
    All,
}

/// How many snapshots were removed, and how many were left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Those that were removed.
    pub removed: usize,
    /// Those that were not.
    pub left: usize,
}

impl SnapshotStore {
    /// Removes snapshots of a repository, also those that another process has
    /// open: what it has not read yet, it cannot read any more.
    ///
    /// # Errors
    ///
    /// [`Kind::Io`] if a disk fails, [`Kind::Corrupt`] if the repository is
    /// damaged, so that what it has is not known.
    pub fn forget(
        &self,
        repository: &Repository,
        which: Forget,
        cache: &Arc<Cache>,
    ) -> Result<Forgotten> {
        let live = repository.objects(cache)?;
        let own = repository.object_directory();
        let alternates = store::directories(&own, repository.wall(), &mut Vec::new());
        let is_forgotten = |directory: &Path, id| match which {
            Forget::All => Ok(true),
            Forget::Holding(object) => kept(directory, repository, cache).has(&object),
            Forget::Purged => has_purged(directory, id, &live, &alternates),
        };
        self.forget_in(repository.key(), &is_forgotten)
    }

    /// Removes all snapshots of the repository that was at `path`, which has none
    /// any more.
    ///
    /// # Errors
    ///
    /// [`Kind::Io`] if a disk fails.
    pub fn forget_gone(&self, path: &Path) -> Result<Forgotten> {
        let mut all = Forgotten::default();
        for common_dir in [path.to_path_buf(), path.join(".git")] {
            let key = repository::key_of(&common_dir);
            let Forgotten { removed, left } = self.forget_in(key, &|_, _| Ok(true))?;
            all.removed = all.removed.saturating_add(removed);
            all.left = all.left.saturating_add(left);
        }
        Ok(all)
    }

    fn forget_in(
        &self,
        key: u64,
        is_forgotten: &dyn Fn(&Path, SnapshotId) -> Result<bool>,
    ) -> Result<Forgotten> {
        let mut forgotten = Forgotten::default();
        let name = format!("{key:016x}");
        for home in [self.directory.join(&name), self.older.join(&name)] {
            if !home.is_dir() {
                continue;
            }
            for directory in subdirectories(&home)? {
                if is_forgotten_here(&home, &directory, is_forgotten)? {
                    remove(&directory)?;
                    forgotten.removed = forgotten.removed.saturating_add(1);
                } else if !directory.ends_with("commits") {
                    forgotten.left = forgotten.left.saturating_add(1);
                }
            }
            forget_commits(&home);
        }
        Ok(forgotten)
    }
}

/// Whether a directory in the home of a repository is to be removed. One of an
/// older format, and one that is not complete, cannot be looked at.
fn is_forgotten_here(
    home: &Path,
    directory: &Path,
    is_forgotten: &dyn Fn(&Path, SnapshotId) -> Result<bool>,
) -> Result<bool> {
    if *directory == *home.join("commits") {
        return Ok(false);
    }
    let name = directory.file_name().and_then(|name| name.to_str());
    match name.and_then(|name| name.parse().ok()) {
        Some(id) => match is_forgotten(directory, id) {
            Err(error) if error.kind() == Kind::Corrupt => Ok(true),
            decided => decided,
        },
        None => Ok(true),
    }
}

/// The objects of a snapshot.
fn kept(directory: &Path, repository: &Repository, cache: &Arc<Cache>) -> Objects {
    let path = directory.join("objects");
    let directory = Directory {
        label: format!("the snapshot in {}", directory.display()),
        path: &path,
        format: repository.object_format(),
        live: false,
        wall: Wall::none(),
    };
    Objects::open(directory, repository.key(), cache)
}

/// Whether a snapshot has an object that is not in the repository. A pack that
/// the repository has too has none.
fn has_purged(
    directory: &Path,
    id: SnapshotId,
    live: &Objects,
    alternates: &[PathBuf],
) -> Result<bool> {
    let Some(manifest) = directory::read_manifest(directory, id)? else {
        return Ok(true);
    };
    for line in &manifest.files {
        let is_shared = || {
            let mut places = alternates.iter().map(|objects| objects.join(&line.path));
            places.any(|place| fs::metadata(place).is_ok_and(|found| found.len() == line.size))
        };
        let ids = match line.path.strip_suffix(".idx") {
            Some(_) if is_shared() => continue,
            Some(_) => indexed(&directory.join("objects").join(&line.path), manifest.format)?,
            None => loose(&line.path).into_iter().collect(),
        };
        for id in ids {
            if !live.has(&id)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The objects in a pack, by its index.
fn indexed(path: &Path, format: hash::Kind) -> Result<Vec<ObjectId>> {
    let mapped = Wall::none().open(path).and_then(|file| Mapping::of(&file));
    let mapping = mapped.map_err(|error| Error::io("read", path, error))?;
    let index = index::File::from_data(mapping.clone(), path.into(), format);
    let index = index.map_err(|error| {
        let message = format!("{} is damaged", path.display());
        Error::with_source(Kind::Corrupt, message, error)
    })?;
    let ids = index.iter().map(|entry| entry.oid).collect();
    let checked = mapping.check();
    checked.map_err(|error| Error::io("read", path, error))?;
    Ok(ids)
}

/// The object in a file of its own.
fn loose(path: &str) -> Option<ObjectId> {
    let (fan, rest) = path.split_once('/')?;
    ObjectId::from_hex(format!("{fan}{rest}").as_bytes()).ok()
}
