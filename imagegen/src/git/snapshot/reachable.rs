//! Snapshots that have what can be reached from one commit, and nothing else.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    sync::Arc,
};

use gix::ObjectId;

use super::{
    Snapshot, SnapshotId, SnapshotStore, identity,
    manifest::{FileLine, Manifest},
    store::{check, unfinished, write_manifest},
    survey::{self, SurveyError},
};
use crate::{
    error::{Error, Kind, Result},
    git::{Cache, Repository, Wall, private, reachable},
};

/// The file in the directory of such a snapshot, with the commit.
const FILE: &str = "reachable";

impl SnapshotStore {
    /// The snapshot of what can be reached from a commit, with those branches and tags
    /// that can be, unless the repository hides them: the one that was taken before,
    /// else a new one. Nothing is written to the repository.
    ///
    /// # Errors
    ///
    /// As [`SnapshotStore::take`], and those of the bounds.
    pub fn take_reachable(
        &self,
        repository: &Repository,
        commit: ObjectId,
        cache: &Arc<Cache>,
        bounds: &reachable::Bounds<'_>,
    ) -> Result<Arc<Snapshot>> {
        let home = self.home(repository)?;
        let pointer = home.join("commits").join(format!("{commit}.{FILE}"));
        self.pointed_to(&pointer, (repository, cache), || {
            self.make_reachable(&home, (repository, commit), cache, bounds)
        })
    }

    /// Such a snapshot with this id; `None` if there is none, or it is of another
    /// commit, or has more.
    ///
    /// # Errors
    ///
    /// As [`SnapshotStore::find`].
    pub fn find_reachable(
        &self,
        repository: &Repository,
        (id, commit): (SnapshotId, ObjectId),
        cache: &Arc<Cache>,
    ) -> Result<Option<Arc<Snapshot>>> {
        let path = self.home(repository)?.join(id.to_string()).join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) if ObjectId::from_hex(text.as_bytes()).is_ok_and(|id| id == commit) => {
                self.find(repository, id, cache)
            }
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path, error)),
        }
    }

    fn make_reachable(
        &self,
        home: &Path,
        (repository, commit): (&Repository, ObjectId),
        cache: &Arc<Cache>,
        bounds: &reachable::Bounds<'_>,
    ) -> Result<Arc<Snapshot>> {
        let objects = repository.objects(cache)?;
        let (mut refs, origin) = repository.refs_and_origin()?;
        refs.hide(&repository.hidden_refs()?);
        let shallow = repository.common_dir().join("shallow");
        let shallow = survey::shallow(&shallow, repository.wall())?;
        let closure = reachable::closure(&objects, commit, (refs, &shallow), bounds)?;
        if self.limit() < u64::MAX {
            self.bound(self.limit())?;
        }
        let new = unfinished(home)?;
        let format = repository.object_format();
        let directory = new.path().join("objects");
        for required in ["pack", "info"] {
            let path = directory.join(required);
            private::create_dir_all(&path).map_err(|error| Error::io("create", &path, error))?;
        }
        let mut files = Vec::new();
        if !closure.is_empty() {
            let packs = directory.join("pack");
            for path in reachable::write(&packs, &objects, &closure, bounds)? {
                files.push(line(&path, format)?);
            }
        }
        files.sort();
        let (refs, shallow) = (closure.refs, closure.shallow);
        let manifest = Manifest {
            format,
            origin,
            shallow,
            refs,
            files,
        };
        let id = manifest.id();
        identity::write(new.path(), repository)?;
        mark(&new.path().join(FILE), commit)?;
        write_manifest(&new.path().join("manifest"), &manifest.encode())?;
        self.publish(&new.keep(), &home.join(id.to_string()))?;
        let snapshot = self.find_reachable(repository, (id, commit), cache)?;
        let gone = || {
            let text = format!("snapshot {id} was removed as soon as it was made: try again");
            Error::new(Kind::Io, text)
        };
        let snapshot = snapshot.ok_or_else(gone)?;
        check(&snapshot, commit)?;
        Ok(snapshot)
    }
}

/// The line of the manifest for a file that was written just now.
fn line(path: &Path, format: gix::hash::Kind) -> Result<FileLine> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.expect("it is made of an id");
    let line = survey::file_line(&format!("pack/{name}"), path, format, &Wall::none());
    line.map_err(|error| match error {
        SurveyError::Failed(error) => error,
        SurveyError::Vanished => Error::new(Kind::Io, format!("{} is gone", path.display())),
    })
}

fn mark(path: &Path, commit: ObjectId) -> Result<()> {
    let text = commit.to_string();
    let written = private::create_new(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| Error::io("write", path, error))
}
