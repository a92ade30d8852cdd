//! The directory of all snapshots.
//!
//! ```text
//! <state>/snapshots.2/<repository>/<snapshot id>/manifest     its content
//!                                               /repository   whose it is
//!                                               /reachable    the commit of one
//!                                               /objects/…    links to its files
//!                                 /commits/<commit id>        the id of its snapshot
//!                                 /commits/<id>.reachable     of that with nothing else
//! <state>/snapshots/…                                         the same of format 1
//! ```
//!
//! A snapshot appears complete, by one rename, and never changes, so any number
//! of processes may share a store. Format 1 had ids of 64 bits, which depended
//! on paths of the server; a server of the last release goes on using it.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use gix::ObjectId;
use tempfile::TempDir;

use super::{
    Snapshot, SnapshotId, identity, link,
    survey::{Survey, SurveyError},
};
use crate::{
    error::{Error, Kind, Result},
    git::{Cache, Repository, private, sync::lock},
};

/// The number of attempts to take a snapshot while the repository is being
/// repacked.
const ATTEMPTS: usize = 6;

/// The directory of this format, below the state directory.
const DIRECTORY: &str = "snapshots.2";
/// The directory of format 1.
const DIRECTORY_1: &str = "snapshots";

/// The prefix of directories that are being created or removed.
pub(super) const UNFINISHED: &str = "unfinished-";

/// The snapshots in a state directory.
///
/// A snapshot is taken once per commit: a commit that is opened again gets the
/// same snapshot, and thus the same image, until the snapshot
/// [expires](SnapshotStore::expire).
#[derive(Debug)]
pub struct SnapshotStore {
    pub(super) directory: PathBuf,
    /// The directory of format 1, which need not exist.
    pub(super) older: PathBuf,
    /// The snapshots that this process has open; locked while one is opened or
    /// removed.
    pub(super) open: Mutex<HashMap<PathBuf, Weak<Snapshot>>>,
    /// Bytes that all together may hold.
    limit: AtomicU64,
}

impl SnapshotStore {
    /// Opens the store in the state directory `dir`, or creates it. It should be
    /// on the same file system as the repositories, so that files can be
    /// hard-linked.
    ///
    /// # Errors
    ///
    /// [`Kind::Io`] if the directory cannot be created.
    pub fn open(dir: &Path) -> Result<Self> {
        let (directory, older) = (dir.join(DIRECTORY), dir.join(DIRECTORY_1));
        private::create_dir_all(&directory)
            .map_err(|error| Error::io("create", &directory, error))?;
        for directory in [&directory, &older] {
            if directory.exists() {
                private::repair(directory)
                    .map_err(|error| Error::io("change the mode of", directory, error))?;
            }
        }
        let directory = fs::canonicalize(&directory)
            .map_err(|error| Error::io("resolve", &directory, error))?;
        Ok(Self {
            directory,
            older,
            open: Mutex::default(),
            limit: AtomicU64::new(u64::MAX),
        })
    }

    /// Sets how many bytes snapshots may hold that nobody else does. Before a new
    /// one is made, unused ones make room ([`SnapshotStore::bound`]).
    pub fn set_limit(&self, bytes: u64) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    /// What [`SnapshotStore::set_limit`] has set.
    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// The snapshot of a commit: the one that was taken for it before, else a
    /// new one of the current state of the repository. Nothing is written to the
    /// repository.
    ///
    /// # Errors
    ///
    /// [`Kind::NotFound`] if the commit or its root tree does not exist,
    /// [`Kind::Corrupt`] if the repository is damaged, [`Kind::Io`] if a disk
    /// fails or the repository is repacked again and again meanwhile; and as
    /// [`SnapshotStore::bound`], if there is a limit.
    pub fn take(
        &self,
        repository: &Repository,
        commit: ObjectId,
        cache: &Arc<Cache>,
    ) -> Result<Arc<Snapshot>> {
        let home = self.home(repository)?;
        let pointer = home.join("commits").join(commit.to_string());
        self.pointed_to(&pointer, (repository, cache), || {
            self.take_now(&home, repository, commit, cache)
        })
    }

    /// The snapshot that a pointer refers to, else one that is taken, to which it
    /// refers then.
    pub(super) fn pointed_to(
        &self,
        pointer: &Path,
        (repository, cache): (&Repository, &Arc<Cache>),
        take: impl FnOnce() -> Result<Arc<Snapshot>>,
    ) -> Result<Arc<Snapshot>> {
        if let Some(snapshot) = self.follow(pointer, repository, cache)? {
            return Ok(snapshot);
        }
        let snapshot = take()?;
        if point(pointer, snapshot.id())? {
            return Ok(snapshot);
        }
        // Another process took one meanwhile, which is the one to use.
        if let Some(other) = self.follow(pointer, repository, cache)? {
            return Ok(other);
        }
        // Its pointer is malformed, or its snapshot no longer complete.
        drop(fs::remove_file(pointer));
        point(pointer, snapshot.id())?;
        Ok(snapshot)
    }

    /// The snapshot with this id; `None` if it does not exist or has expired.
    ///
    /// # Errors
    ///
    /// [`Kind::Corrupt`] if it is damaged, [`Kind::Io`] if a disk fails.
    pub fn find(
        &self,
        repository: &Repository,
        id: SnapshotId,
        cache: &Arc<Cache>,
    ) -> Result<Option<Arc<Snapshot>>> {
        let directory = self.home(repository)?.join(id.to_string());
        if !identity::is_of(&directory, id, repository, cache)? {
            return Ok(None);
        }
        let mut open = lock(&self.open);
        let is_kept = directory.join("manifest").exists();
        let found = open.get(&directory).and_then(Weak::upgrade);
        // Another process may have forgotten one that is open here.
        if let Some(snapshot) = found.filter(|_| is_kept) {
            touch(&directory);
            return Ok(Some(snapshot));
        }
        let opened = Snapshot::open(&directory, id, repository, cache)?;
        let Some(snapshot) = opened.map(Arc::new) else {
            return Ok(None);
        };
        touch(&directory);
        open.retain(|_, snapshot| snapshot.strong_count() > 0);
        open.insert(directory, Arc::downgrade(&snapshot));
        Ok(Some(snapshot))
    }

    /// The directory of the snapshots of one repository, which linked work trees
    /// share.
    pub(super) fn home(&self, repository: &Repository) -> Result<PathBuf> {
        let home = self.directory.join(format!("{:016x}", repository.key()));
        let commits = home.join("commits");
        private::create_dir_all(&commits).map_err(|error| Error::io("create", &commits, error))?;
        Ok(home)
    }

    /// The snapshot that the pointer of a commit refers to; `None` if there is
    /// no such pointer or snapshot, or the pointer is malformed.
    fn follow(
        &self,
        pointer: &Path,
        repository: &Repository,
        cache: &Arc<Cache>,
    ) -> Result<Option<Arc<Snapshot>>> {
        let text = match fs::read(pointer) {
            Ok(text) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", pointer, error)),
        };
        match text.trim().parse() {
            Ok(id) => self.find(repository, id, cache),
            Err(_) => Ok(None),
        }
    }

    /// Takes a snapshot of the current state; tries again if the repository is
    /// repacked meanwhile.
    fn take_now(
        &self,
        home: &Path,
        repository: &Repository,
        commit: ObjectId,
        cache: &Arc<Cache>,
    ) -> Result<Arc<Snapshot>> {
        let mut failure = None;
        for _ in 0..ATTEMPTS {
            let survey = match Survey::of(repository, &|| unfinished(home)) {
                Ok(survey) => survey,
                Err(SurveyError::Vanished) => continue,
                Err(SurveyError::Failed(error)) => return Err(error),
            };
            let id = survey.manifest.id();
            if let Some(snapshot) = self.find_or_create(home, &survey, repository, cache)? {
                match check(&snapshot, commit) {
                    Ok(()) => return Ok(snapshot),
                    Err(error) => failure = Some(error.within(format!("snapshot {id}"))),
                }
            }
        }
        Err(failure.unwrap_or_else(|| {
            let message = format!(
                "{} was repacked {ATTEMPTS} times while a snapshot was taken; try again later",
                repository.label()
            );
            Error::new(Kind::Io, message)
        }))
    }

    /// The snapshot of a survey, created unless it exists; `None` if the
    /// repository changed meanwhile.
    fn find_or_create(
        &self,
        home: &Path,
        survey: &Survey,
        repository: &Repository,
        cache: &Arc<Cache>,
    ) -> Result<Option<Arc<Snapshot>>> {
        let id = survey.manifest.id();
        if let Some(snapshot) = self.find(repository, id, cache)? {
            return Ok(Some(snapshot));
        }
        if self.limit() < u64::MAX {
            self.bound(self.limit())?;
        }
        let new = unfinished(home)?;
        match link::link_all(&new.path().join("objects"), survey, repository.wall()) {
            Ok(()) if survey.is_current(repository)? => {}
            Ok(()) | Err(SurveyError::Vanished) => return Ok(None),
            Err(SurveyError::Failed(error)) => return Err(error),
        }
        identity::write(new.path(), repository)?;
        write_manifest(&new.path().join("manifest"), &survey.manifest.encode())?;
        self.publish(&new.keep(), &home.join(id.to_string()))?;
        self.find(repository, id, cache)
    }

    /// Renames a finished snapshot to its final name. An existing one is the
    /// same, and is replaced only if it is no longer complete.
    pub(super) fn publish(&self, new: &Path, directory: &Path) -> Result<()> {
        let _no_open = lock(&self.open);
        let Err(error) = fs::rename(new, directory) else {
            return Ok(());
        };
        let whole = Snapshot::is_whole(directory)?;
        if !whole {
            remove(directory)?;
            return fs::rename(new, directory)
                .map_err(|error| Error::io("rename a snapshot to", directory, error));
        }
        drop(fs::remove_dir_all(new));
        match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty => Ok(()),
            _ => Err(Error::io("rename a snapshot to", directory, error)),
        }
    }
}

/// A new directory in which something is being created.
pub(super) fn unfinished(home: &Path) -> Result<TempDir> {
    let directory = private::tempdir_in(home, UNFINISHED);
    directory.map_err(|error| Error::io("create a directory in", home, error))
}

/// Checks that a commit and its root tree can be read from the snapshot. An
/// unborn branch, the null id, has none.
pub(super) fn check(snapshot: &Snapshot, commit: ObjectId) -> Result<()> {
    if commit.is_null() {
        return Ok(());
    }
    let tree = snapshot.objects().commit(commit)?.tree;
    snapshot.objects().tree(tree).map(drop)
}

/// Creates the pointer of a commit; `false` if it exists.
fn point(pointer: &Path, id: SnapshotId) -> Result<bool> {
    let failed = |error| Error::io("write", pointer, error);
    let directory = parent(pointer);
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    io::Write::write_all(&mut file, format!("{id}\n").as_bytes()).map_err(failed)?;
    match file.persist_noclobber(pointer) {
        Ok(_) => Ok(true),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed(error.error)),
    }
}

pub(super) fn write_manifest(path: &Path, text: &[u8]) -> Result<()> {
    let failed = |error| Error::io("write", path, error);
    let mut file = private::create_new(path).map_err(failed)?;
    io::Write::write_all(&mut file, text).map_err(failed)?;
    file.sync_all().map_err(failed)
}

/// Records the current time as that of the last use, for
/// [`SnapshotStore::expire`].
fn touch(directory: &Path) {
    if let Ok(directory) = File::open(directory) {
        drop(directory.set_modified(SystemTime::now()));
    }
}

/// Removes a snapshot: first renames it, so that it cannot be found half
/// removed, then deletes it.
pub(super) fn remove(directory: &Path) -> Result<()> {
    let failed = |error| Error::io("remove", directory, error);
    let temporary = private::tempdir_in(parent(directory), UNFINISHED).map_err(failed)?;
    fs::rename(directory, temporary.path().join("removed")).map_err(failed)?;
    temporary.close().map_err(failed)
}

/// The directory of a path in the store.
fn parent(path: &Path) -> &Path {
    path.parent().expect("everything in the store has a parent")
}
