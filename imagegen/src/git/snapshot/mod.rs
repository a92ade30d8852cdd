//! What of a repository shows in `.git` besides the commit: named, and kept.
//!
//! Packs come and go, so an image names the ones it shows. A snapshot is a set
//! of hard links to them in a directory of ours, called after a hash over what
//! it holds: a repack or gc of the repository takes nothing from it.

mod expire;
mod file;
mod id;
mod keep;
mod manifest;
mod store;
mod survey;

use std::{fs, path::Path, sync::Arc};

use gix::hash;

use self::manifest::{FileLine, Manifest};
pub use self::{file::SnapshotFile, id::SnapshotId, store::SnapshotStore};
use super::{Cache, Objects, Refs, Repository, objects::Place};
use crate::error::{Error, Result};

/// A moment of a repository: its packs, loose objects and refs.
#[derive(Debug)]
pub struct Snapshot {
    id: SnapshotId,
    objects: Objects,
    files: Vec<SnapshotFile>,
    refs: Refs,
    shallow: Option<Vec<u8>>,
    origin: String,
    format: hash::Kind,
    warning: Option<String>,
}

impl Snapshot {
    /// Its name.
    pub fn id(&self) -> SnapshotId {
        self.id
    }

    /// Reads the snapshot's own object directory.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// What shows under `.git/objects`, sorted by path: `pack/*.pack`, `.idx`
    /// and `.rev`, an empty `.keep` for each pack, `info/commit-graph` when
    /// there is one, and loose objects.
    pub fn files(&self) -> &[SnapshotFile] {
        &self.files
    }

    /// Branches, tags, and HEAD's branch.
    pub fn refs(&self) -> &Refs {
        &self.refs
    }

    /// The content of `.git/shallow`, if the history is cut.
    pub fn shallow(&self) -> Option<&[u8]> {
        self.shallow.as_deref()
    }

    /// What `remote.origin.url` shall say: the served repository's own origin,
    /// else its absolute path.
    pub fn origin(&self) -> Option<&str> {
        Some(&self.origin)
            .filter(|origin| !origin.is_empty())
            .map(String::as_str)
    }

    /// The hash its object ids are made with.
    pub fn object_format(&self) -> hash::Kind {
        self.format
    }

    /// What the operator should know about how it is kept.
    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Opens the snapshot in `directory`; `None` when it is not there, or no
    /// longer whole.
    fn open(
        directory: &Path,
        id: SnapshotId,
        repository: &Repository,
        cache: &Arc<Cache>,
    ) -> Result<Option<Self>> {
        let Some(manifest) = read_manifest(directory, id)? else {
            return Ok(None);
        };
        let objects = directory.join("objects");
        if !is_complete(&objects, &manifest) {
            return Ok(None);
        }
        let shown = manifest.files.iter().flat_map(|line| shown(&objects, line));
        let mut files = shown.collect::<Vec<_>>();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let warning = hold_borrowed(&objects, &files, id)?;
        let place = Place {
            label: format!("snapshot {id} of {}", repository.label()),
            domain: repository.key(),
            directory: &objects,
            format: manifest.format,
            live: false,
        };
        let objects = Objects::open(place, cache);
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

    /// Whether the snapshot in `directory` could be opened.
    fn is_whole(directory: &Path) -> bool {
        let name = directory.file_name().and_then(|name| name.to_str());
        let id = name.and_then(|name| name.parse().ok());
        let manifest = id.and_then(|id| read_manifest(directory, id).ok().flatten());
        manifest.is_some_and(|manifest| is_complete(&directory.join("objects"), &manifest))
    }
}

fn read_manifest(directory: &Path, id: SnapshotId) -> Result<Option<Manifest>> {
    let path = directory.join("manifest");
    match fs::read(&path) {
        Ok(text) => Manifest::decode(&text, id).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", &path, error)),
    }
}

/// Whether all files are what they were: what is only pointed at may have
/// gone, or be another file by now.
fn is_complete(objects: &Path, manifest: &Manifest) -> bool {
    manifest.files.iter().all(|line| {
        let found = survey::file_line(&line.path, &objects.join(&line.path), manifest.format);
        found.is_ok_and(|found| found == *line)
    })
}

/// A file as images show it; in front of a pack, the `.keep` that keeps git
/// from rewriting it.
fn shown(objects: &Path, line: &FileLine) -> impl Iterator<Item = SnapshotFile> {
    let keep = line
        .path
        .strip_suffix(".pack")
        .map(|stem| format!("{stem}.keep"));
    let keep = keep.map(|path| SnapshotFile::empty(path.into()));
    let place = objects.join(&line.path);
    keep.into_iter().chain([SnapshotFile::new(
        line.path.as_str().into(),
        line.size,
        place,
    )])
}

/// Opens the files that are only pointed at, so that they stay as long as the
/// snapshot is open; says so, if there are any.
fn hold_borrowed(objects: &Path, files: &[SnapshotFile], id: SnapshotId) -> Result<Option<String>> {
    let mut held = 0_usize;
    for file in files {
        if keep::is_borrowed(&objects.join(file.path.to_string())) {
            file.open()?;
            held = held.saturating_add(1);
        }
    }
    Ok((held > 0).then(|| {
        format!(
            "snapshot {id} holds {held} files open where they are, since they can be neither \
             linked nor cloned into {}: a repack followed by a restart of the server takes its \
             images away",
            objects.display()
        )
    }))
}
