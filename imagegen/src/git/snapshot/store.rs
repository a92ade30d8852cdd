//! Where snapshots are kept: taken, found again, expired.
//!
//! ```text
//! <state>/snapshots/<repository>/<snapshot id>/manifest     what it consists of
//!                                             /objects/…    links to the files
//!                               /commits/<commit id>        the snapshot it has
//! ```
//!
//! A snapshot appears by one rename, whole, and never changes; so any number
//! of processes may use one store.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, Weak},
    time::SystemTime,
};

use gix::ObjectId;

use super::{
    Snapshot, SnapshotId, keep,
    survey::{Survey, Trouble},
};
use crate::{
    error::{Error, Kind, Result},
    git::{Cache, Repository, sync::lock},
};

/// How often a repository may be repacked under our hands before we give up.
const ATTEMPTS: usize = 6;

/// The prefix of directories that are being made, or removed.
pub(super) const UNFINISHED: &str = "unfinished-";

/// Snapshots in a state directory of our own.
#[derive(Debug)]
pub struct SnapshotStore {
    pub(super) directory: PathBuf,
    /// What this process has open; held while one is opened or removed.
    pub(super) open: Mutex<HashMap<PathBuf, Weak<Snapshot>>>,
}

impl SnapshotStore {
    /// Opens, or makes, the store in the state directory `dir`.
    pub fn open(dir: &Path) -> Result<Self> {
        let directory = dir.join("snapshots");
        fs::create_dir_all(&directory).map_err(|error| Error::io("make", &directory, error))?;
        let directory =
            fs::canonicalize(&directory).map_err(|error| Error::io("find", &directory, error))?;
        Ok(Self {
            directory,
            open: Mutex::default(),
        })
    }

    /// The snapshot this commit was opened with before, else the present
    /// state of the repository.
    ///
    /// Nothing is written into the repository. Fails with [`Kind::NotFound`]
    /// when the commit is not there.
    pub fn take(
        &self,
        repository: &Repository,
        commit: ObjectId,
        cache: &Arc<Cache>,
    ) -> Result<Arc<Snapshot>> {
        let home = self.home(repository)?;
        let pointer = home.join("commits").join(commit.to_string());
        if let Some(snapshot) = self.follow(&pointer, repository, cache)? {
            return Ok(snapshot);
        }
        let snapshot = self.take_now(&home, repository, commit, cache)?;
        if point(&pointer, snapshot.id())? {
            return Ok(snapshot);
        }
        // Somebody else was faster; theirs is the one that sticks.
        if let Some(theirs) = self.follow(&pointer, repository, cache)? {
            return Ok(theirs);
        }
        drop(fs::remove_file(&pointer));
        point(&pointer, snapshot.id())?;
        Ok(snapshot)
    }

    /// The snapshot called `id`, if it is still kept.
    pub fn find(
        &self,
        repository: &Repository,
        id: SnapshotId,
        cache: &Arc<Cache>,
    ) -> Result<Option<Arc<Snapshot>>> {
        let directory = self.home(repository)?.join(id.to_string());
        let mut open = lock(&self.open);
        if let Some(snapshot) = open.get(&directory).and_then(Weak::upgrade) {
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

    /// Where the snapshots of one repository are; linked work trees share it.
    fn home(&self, repository: &Repository) -> Result<PathBuf> {
        let home = self.directory.join(format!("{:016x}", repository.key()));
        let commits = home.join("commits");
        fs::create_dir_all(&commits).map_err(|error| Error::io("make", &commits, error))?;
        Ok(home)
    }

    /// The snapshot that a commit's pointer names, if both are there.
    fn follow(
        &self,
        pointer: &Path,
        repository: &Repository,
        cache: &Arc<Cache>,
    ) -> Result<Option<Arc<Snapshot>>> {
        let Ok(text) = fs::read_to_string(pointer) else {
            return Ok(None);
        };
        match text.trim().parse() {
            Ok(id) => self.find(repository, id, cache),
            Err(_) => Ok(None),
        }
    }

    /// Takes the present state, again while a repack changes it under our
    /// hands.
    fn take_now(
        &self,
        home: &Path,
        repository: &Repository,
        commit: ObjectId,
        cache: &Arc<Cache>,
    ) -> Result<Arc<Snapshot>> {
        let mut failure = None;
        for _ in 0..ATTEMPTS {
            let survey = match Survey::of(repository) {
                Ok(survey) => survey,
                Err(Trouble::Vanished) => continue,
                Err(Trouble::Failed(error)) => return Err(error),
            };
            let id = survey.manifest.id();
            if let Some(snapshot) = self.kept(home, &survey, repository, cache)? {
                match check(&snapshot, commit) {
                    Ok(()) => return Ok(snapshot),
                    Err(error) => failure = Some(error.within(format!("snapshot {id}"))),
                }
            }
        }
        Err(failure.unwrap_or_else(|| {
            let told = format!(
                "{} changes too fast to take a snapshot of",
                repository.label()
            );
            Error::new(Kind::Io, told)
        }))
    }

    /// The snapshot of this survey, made if it is not there; `None` when the
    /// repository changed meanwhile.
    fn kept(
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
        let new = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(home)
            .map_err(|error| Error::io("make a directory in", home, error))?;
        match keep::fill(&new.path().join("objects"), survey) {
            Ok(()) if survey.still_holds(repository) => {}
            Ok(()) | Err(Trouble::Vanished) => return Ok(None),
            Err(Trouble::Failed(error)) => return Err(error),
        }
        write_manifest(&new.path().join("manifest"), &survey.manifest.encode())?;
        self.put_up(&new.keep(), &home.join(id.to_string()))?;
        self.find(repository, id, cache)
    }

    /// Gives a finished snapshot its name. One that is there already is as
    /// good, unless files it points at have gone: then it is replaced.
    fn put_up(&self, new: &Path, directory: &Path) -> Result<()> {
        let _nobody_opens = lock(&self.open);
        let Err(error) = fs::rename(new, directory) else {
            return Ok(());
        };
        let whole = Snapshot::is_whole(directory);
        if !whole {
            remove(directory)?;
            return fs::rename(new, directory)
                .map_err(|error| Error::io("put a snapshot at", directory, error));
        }
        drop(fs::remove_dir_all(new));
        match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty => Ok(()),
            _ => Err(Error::io("put a snapshot at", directory, error)),
        }
    }
}

/// Checks that a commit and its root can be read from the snapshot.
fn check(snapshot: &Snapshot, commit: ObjectId) -> Result<()> {
    let tree = snapshot.objects().commit(commit)?.tree;
    snapshot.objects().tree(tree).map(drop)
}

/// Lets `pointer` name the snapshot; `false` when it names one already.
fn point(pointer: &Path, id: SnapshotId) -> Result<bool> {
    let failed = |error| Error::io("write", pointer, error);
    let directory = pointer.parent().unwrap_or(pointer);
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    io::Write::write_all(&mut file, format!("{id}\n").as_bytes()).map_err(failed)?;
    match file.persist_noclobber(pointer) {
        Ok(_) => Ok(true),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed(error.error)),
    }
}

fn write_manifest(path: &Path, text: &[u8]) -> Result<()> {
    let failed = |error| Error::io("write", path, error);
    let mut file = File::create_new(path).map_err(failed)?;
    io::Write::write_all(&mut file, text).map_err(failed)?;
    file.sync_all().map_err(failed)
}

/// Notes that a snapshot was used now, for [`SnapshotStore::expire`].
fn touch(directory: &Path) {
    if let Ok(directory) = File::open(directory) {
        drop(directory.set_modified(SystemTime::now()));
    }
}

/// Removes a snapshot: at once for everybody who looks for it, then for good.
pub(super) fn remove(directory: &Path) -> Result<()> {
    let home = directory.parent().unwrap_or(directory);
    let failed = |error| Error::io("remove", directory, error);
    let away = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempdir_in(home)
        .map_err(failed)?;
    fs::rename(directory, away.path().join("removed")).map_err(failed)?;
    away.close().map_err(failed)
}
