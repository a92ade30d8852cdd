//! Opening a snapshot in its directory.

use std::{fs, io, path::Path, sync::Arc};

use gix::hash;

use super::{
    SnapshotFile, SnapshotId,
    file::Home,
    link,
    manifest::{FileLine, Manifest},
    survey::{self, SurveyError},
};
use crate::{
    error::{Error, Kind, Result},
    git::{Cache, Objects, Refs, Repository, Wall, store::Directory},
};

/// The packs, loose objects and refs of a repository at one point in time.
#[derive(Debug)]
pub struct Snapshot {
    id: SnapshotId,
    objects: Objects,
    files: Vec<SnapshotFile>,
    refs: Refs,
    shallow: Option<Vec<u8>>,
    origin: Option<String>,
    format: hash::Kind,
    warning: Option<String>,
}

impl Snapshot {
    /// Its id.
    pub fn id(&self) -> SnapshotId {
        self.id
    }

    /// Its objects.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// The files of `.git/objects`, sorted by path: `pack/*.pack`, `.idx` and
    /// `.rev`, an empty `.keep` for each pack, `pack/multi-pack-index`,
    /// commit-graphs, and loose objects.
    pub(crate) fn files(&self) -> &[SnapshotFile] {
        &self.files
    }

    /// Its branches, tags and HEAD.
    pub(crate) fn refs(&self) -> &Refs {
        &self.refs
    }

    /// The content of `.git/shallow`; `None` if the history is complete.
    pub(crate) fn shallow(&self) -> Option<&[u8]> {
        self.shallow.as_deref()
    }

    /// The `remote.origin.url` of the repository, if it has one.
    pub(crate) fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// The hash function of its object ids.
    pub(crate) fn object_format(&self) -> hash::Kind {
        self.format
    }

    /// A message for the operator, if the snapshot depends on files outside the
    /// state directory.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Opens the snapshot in `directory`; `None` if it does not exist, or is no
    /// longer complete.
    ///
    /// # Errors
    ///
    /// [`Kind::Corrupt`] if the manifest is damaged, [`Kind::Io`] if a file
    /// cannot be read.
    pub(super) fn open(
        directory: &Path,
        id: SnapshotId,
        repository: &Repository,
        cache: &Arc<Cache>,
    ) -> Result<Option<Self>> {
        let Some(manifest) = read_manifest(directory, id)? else {
            return Ok(None);
        };
        let objects = directory.join("objects");
        // Its files may be links into the repository.
        let wall = repository.wall().with(directory);
        if !is_complete(&objects, &manifest, &wall)? {
            return Ok(None);
        }
        let home = Arc::new(Home {
            objects,
            files: Arc::clone(cache.files()),
        });
        let (files, held) = open_files(&manifest.files, &home)?;
        let warning = (held > 0).then(|| depends_on_repository(&home.objects, held, id));
        let directory = Directory {
            label: format!("snapshot {id} of {}", repository.label()),
            path: &home.objects,
            format: manifest.format,
            live: false,
            wall,
        };
        let objects = Objects::open(directory, repository.key(), cache);
        let Manifest {
            format,
            origin,
            shallow,
            refs,
            ..
        } = manifest;
        let lines = shallow
            .iter()
            .fold(String::new(), |lines, id| format!("{lines}{id}\n"));
        let shallow = (!lines.is_empty()).then(|| lines.into_bytes());
        Ok(Some(Self {
            id,
            objects,
            files,
            refs,
            shallow,
            origin,
            format,
            warning,
        }))
    }

    /// Whether the snapshot in `directory` is complete.
    ///
    /// # Errors
    ///
    /// [`Kind::Io`] if that cannot be determined.
    pub(super) fn is_whole(directory: &Path) -> Result<bool> {
        let name = directory.file_name().and_then(|name| name.to_str());
        let Some(id) = name.and_then(|name| name.parse().ok()) else {
            return Ok(false);
        };
        match read_manifest(directory, id) {
            Ok(Some(manifest)) => is_complete(&directory.join("objects"), &manifest, &Wall::none()),
            Ok(None) => Ok(false),
            Err(error) if error.kind() == Kind::Corrupt => Ok(false),
            Err(error) => Err(error),
        }
    }
}

pub(super) fn read_manifest(directory: &Path, id: SnapshotId) -> Result<Option<Manifest>> {
    let path = directory.join("manifest");
    match fs::read(&path) {
        Ok(text) => Manifest::decode(&text, id).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", &path, error)),
    }
}

/// Whether all files are those of the manifest. A symlinked file may have been
/// removed or replaced.
fn is_complete(objects: &Path, manifest: &Manifest, wall: &Wall) -> Result<bool> {
    for line in &manifest.files {
        let found = survey::file_line(&line.path, &objects.join(&line.path), manifest.format, wall);
        match found {
            Ok(found) if found == *line => {}
            Ok(_) | Err(SurveyError::Vanished) => return Ok(false),
            Err(SurveyError::Failed(error)) if error.kind() == Kind::Corrupt => return Ok(false),
            Err(SurveyError::Failed(error)) => return Err(error),
        }
    }
    Ok(true)
}

/// The files as images show them, sorted by path, and how many of them are held
/// open. A pack is preceded by a `.keep` file, so that git does not repack it.
///
/// Files that are symlinks into the repository are held open, so that they
/// remain available while the snapshot is open.
fn open_files(lines: &[FileLine], home: &Arc<Home>) -> Result<(Vec<SnapshotFile>, usize)> {
    let (mut files, mut held) = (Vec::new(), 0);
    for FileLine { path, size, .. } in lines {
        if let Some(stem) = path.strip_suffix(".pack") {
            files.push(SnapshotFile::empty(format!("{stem}.keep").into()));
        }
        files.push(if link::is_symlink(&home.path_to(path)) {
            held += 1;
            SnapshotFile::held(path, *size, home)?
        } else {
            SnapshotFile::on_disk(path, *size, home)
        });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok((files, held))
}

fn depends_on_repository(objects: &Path, held: usize, id: SnapshotId) -> String {
    format!(
        "snapshot {id} holds {held} files of the repository open, since they can be neither \
         linked nor cloned into {}: after a repack and a restart of the server its images are \
         lost; use a state directory on the same file system",
        objects.display()
    )
}
