//! What snapshots hold that nobody else does, and its limit.
//!
//! The files of a snapshot are links to those of its repository. They take
//! nothing more while the repository has them, and all of their length once it
//! was repacked.

use std::{
    collections::HashMap,
    fs, mem,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    SnapshotStore,
    expire::{forget_commits, subdirectories},
    store::UNFINISHED,
};
use crate::error::{Error, Kind, Result};

/// A file, however many links there are to it.
type File = (u64, u64);

/// The links to a file, here and in all, and what it takes.
#[derive(Clone, Copy, Debug)]
struct Links {
    here: u64,
    all: u64,
    bytes: u64,
}

/// A snapshot, and the files that it has links to.
struct Kept {
    directory: PathBuf,
    used: SystemTime,
    files: Vec<File>,
}

/// What all snapshots hold.
#[derive(Default)]
struct Held {
    files: HashMap<File, Links>,
    snapshots: Vec<Kept>,
}

impl SnapshotStore {
    /// The bytes that would be free without the snapshots.
    ///
    /// # Errors
    ///
    /// [`Kind::Io`] if they cannot be listed.
    pub fn held(&self) -> Result<u64> {
        Ok(Held::of(&self.directory)?.bytes())
    }

    /// Removes snapshots that this process has not open, until all together hold
    /// no more than `limit` bytes: those first that were not opened for longest.
    /// Returns how many were removed.
    ///
    /// # Errors
    ///
    /// [`Kind::Unsupported`] if those that are open hold more; [`Kind::Io`] as for
    /// [`expire`](Self::expire).
    pub fn bound(&self, limit: u64) -> Result<usize> {
        let mut held = Held::of(&self.directory)?;
        held.snapshots.sort_by_key(|kept| kept.used);
        let (mut removed, mut bytes) = (0, held.bytes());
        for kept in mem::take(&mut held.snapshots) {
            if bytes <= limit {
                break;
            }
            if self.remove_unless_open(&kept.directory)? {
                removed += 1;
                bytes = bytes.saturating_sub(held.remove(&kept));
            }
        }
        for home in subdirectories(&self.directory)? {
            forget_commits(&home);
        }
        if bytes <= limit {
            return Ok(removed);
        }
        let text = format!(
            "the snapshots in use hold {bytes} bytes of the state directory, and may hold {limit}: \
             detach some, ask for history=none, or start the server with a greater --state-limit"
        );
        Err(Error::new(Kind::Unsupported, text))
    }
}

impl Links {
    /// Whether nobody else has the file.
    fn is_own(&self) -> bool {
        self.here >= self.all
    }

    /// Removes one of the links here; returns what that frees.
    fn remove(&mut self) -> u64 {
        self.here = self.here.saturating_sub(1);
        self.all = self.all.saturating_sub(1);
        if self.all == 0 { self.bytes } else { 0 }
    }
}

impl Held {
    fn of(directory: &Path) -> Result<Self> {
        let mut held = Self::default();
        for home in subdirectories(directory)? {
            for snapshot in subdirectories(&home)? {
                let name = snapshot.file_name().and_then(|name| name.to_str());
                if name.is_some_and(|name| name != "commits" && !name.starts_with(UNFINISHED)) {
                    held.add(snapshot)?;
                }
            }
        }
        Ok(held)
    }

    fn add(&mut self, directory: PathBuf) -> Result<()> {
        let failed = |error| Error::io("read", &directory, error);
        let used = fs::metadata(&directory).and_then(|metadata| metadata.modified());
        let used = used.map_err(failed)?;
        let (mut files, mut pending) = (Vec::new(), vec![directory.clone()]);
        while let Some(folder) = pending.pop() {
            // Another process may remove it meanwhile.
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let Ok(metadata) = entry.metadata() else {
                    continue;
                };
                if metadata.is_dir() {
                    pending.push(entry.path());
                    continue;
                }
                let file = (metadata.dev(), metadata.ino());
                let links = self.files.entry(file).or_insert(Links {
                    here: 0,
                    all: metadata.nlink(),
                    bytes: metadata.blocks().saturating_mul(512),
                });
                links.here = links.here.saturating_add(1);
                files.push(file);
            }
        }
        self.snapshots.push(Kept {
            directory,
            used,
            files,
        });
        Ok(())
    }

    /// Removes the links of a snapshot; returns what that frees.
    fn remove(&mut self, kept: &Kept) -> u64 {
        let links = |file| self.files.get_mut(file).map_or(0, Links::remove);
        kept.files.iter().map(links).sum()
    }

    fn bytes(&self) -> u64 {
        let own = self.files.values().filter(|links| links.is_own());
        own.map(|links| links.bytes).sum()
    }
}
