//! Whose a snapshot is: another repository may have come to the path of one that
//! was removed, and must not show what that one had.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::Path,
    sync::Arc,
};

use super::{SnapshotId, directory};
use crate::{
    error::{Error, Result},
    git::{Cache, Repository, private},
};

/// The file in the directory of a snapshot, with the inode of the repository's
/// object directory. Snapshots of 0.1.0 have none.
const FILE: &str = "repository";

fn inode(repository: &Repository) -> Result<String> {
    let objects = repository.object_directory();
    let metadata = fs::metadata(&objects).map_err(|error| Error::io("use", &objects, error))?;
    Ok(metadata.ino().to_string())
}

/// Records whose a new snapshot is.
pub(super) fn write(directory: &Path, repository: &Repository) -> Result<()> {
    let (path, inode) = (directory.join(FILE), inode(repository)?);
    let written = private::create_new(&path).and_then(|mut file| file.write_all(inode.as_bytes()));
    written.map_err(|error| Error::io("write", &path, error))
}

/// Whether a snapshot is one of the repository. One that was copied or restored
/// has another object directory, and all that the snapshot's refs point to.
///
/// # Errors
///
/// [`Kind::Io`](crate::Kind::Io) if a disk fails,
/// [`Kind::Corrupt`](crate::Kind::Corrupt) if that cannot be known.
pub(super) fn is_of(
    directory: &Path,
    id: SnapshotId,
    repository: &Repository,
    cache: &Arc<Cache>,
) -> Result<bool> {
    let path = directory.join(FILE);
    match fs::read_to_string(&path) {
        Ok(recorded) if recorded == inode(repository)? => return Ok(true),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(Error::io("read", &path, error)),
    }
    let Some(manifest) = directory::read_manifest(directory, id)? else {
        return Ok(false);
    };
    let objects = repository.objects(cache)?;
    let refs = &manifest.refs;
    let mut all = refs.branches.iter().chain(&refs.tags).chain(&refs.tracking);
    all.try_fold(true, |whole, one| Ok(whole && objects.has(&one.id)?))
}
