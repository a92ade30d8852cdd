//! The bytes of files.

use std::sync::Arc;

use gix::{ObjectId, oid};
use sha2::{Digest, Sha256};

use crate::{
    Result,
    git::{Blob, Conversion, Objects, Snapshot},
    image::{
        folder::{Content, MadeKind},
        index::{Common, WorkTree},
        plan::{Place, Plan},
    },
};

/// How far a read may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effort {
    /// Memory only: neither disk nor inflating.
    Ready,
    /// Whatever it takes.
    Full,
}

/// Where an image's objects are read.
#[derive(Debug)]
pub enum Origin {
    /// From a snapshot, which also shows in `.git`.
    Snapshot(Arc<Snapshot>),
    /// From a repository as it is; there is no `.git`.
    Objects(Objects),
}

impl Origin {
    /// Reads objects.
    pub fn objects(&self) -> &Objects {
        match self {
            Self::Snapshot(snapshot) => snapshot.objects(),
            Self::Objects(objects) => objects,
        }
    }

    /// The snapshot, if there is one.
    pub fn snapshot(&self) -> Option<&Arc<Snapshot>> {
        match self {
            Self::Snapshot(snapshot) => Some(snapshot),
            Self::Objects(_) => None,
        }
    }
}

/// The bytes of an image's files.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) origin: Origin,
    /// Names the git index in the cache.
    pub(super) index_id: ObjectId,
    pub(super) common: Common,
}

/// Reads files of one image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    pub(super) plan: &'a Plan,
    pub(super) contents: &'a Contents,
    pub(super) effort: Effort,
}

impl Reader<'_> {
    /// Fills `buffer` from `offset` of the file on; `false` when that takes
    /// more than the effort allowed. The file is at least that long.
    pub(super) fn file(&self, place: Place, offset: u64, buffer: &mut [u8]) -> Result<bool> {
        let child = self.plan.child(place);
        let blob = match child.content {
            Content::Blob {
                id,
                conversion: Some(conversion),
                ..
            } => self.converted(id, conversion),
            Content::Blob { id, .. } | Content::Symlink { id } => self.blob(id, child.size),
            Content::Made(MadeKind::Snapshot(file)) => {
                return self.snapshot_file(file, offset, buffer);
            }
            Content::Made(MadeKind::Small(small)) => {
                Ok(Some(Blob::Held(Arc::clone(&self.plan.small[small]))))
            }
            Content::Made(MadeKind::Index) => self.index(),
            Content::Made(MadeKind::Directory(_))
            | Content::Tree { .. }
            | Content::Gitlink { .. }
            | Content::DotGit => return Ok(true),
        };
        let read = blob.and_then(|blob| fill(blob.as_ref(), offset, buffer));
        read.map_err(|error| error.within(path(self.plan, place)))
    }

    fn objects(&self) -> &Objects {
        self.contents.origin.objects()
    }

    fn blob(&self, id: &oid, size: u64) -> Result<Option<Blob>> {
        match self.effort {
            Effort::Ready => Ok(self.objects().blob_cached(id)),
            Effort::Full => self.objects().blob(id, size).map(Some),
        }
    }

    fn converted(&self, id: &oid, conversion: &Conversion) -> Result<Option<Blob>> {
        let objects = self.objects();
        self.derived(converted_name(id, conversion), || {
            let blob = objects.blob(id, objects.blob_size(id)?)?.to_vec()?;
            Ok(conversion.apply(id, &blob)?.unwrap_or(blob))
        })
    }

    fn index(&self) -> Result<Option<Blob>> {
        self.derived(self.contents.index_id, || {
            let work_tree = WorkTree {
                dirs: &self.plan.dirs,
                by_inode: &self.plan.by_inode,
            };
            Ok(work_tree.encode(Vec::new(), self.contents.common))
        })
    }

    fn derived(
        &self,
        name: ObjectId,
        make: impl FnOnce() -> Result<Vec<u8>>,
    ) -> Result<Option<Blob>> {
        match self.effort {
            Effort::Ready => Ok(self.objects().derived(&name)),
            Effort::Full => self.objects().derive(name, make).map(Some),
        }
    }

    fn snapshot_file(&self, file: usize, offset: u64, buffer: &mut [u8]) -> Result<bool> {
        let snapshot = self.contents.origin.snapshot();
        let Some(file) = snapshot.and_then(|snapshot| snapshot.files().get(file)) else {
            return Ok(true);
        };
        match self.effort {
            Effort::Ready => file.read_ready(offset, buffer),
            Effort::Full => file.read_at(offset, buffer).map(|()| true),
        }
    }
}

fn fill(blob: Option<&Blob>, offset: u64, buffer: &mut [u8]) -> Result<bool> {
    let Some(blob) = blob else { return Ok(false) };
    blob.read_at(offset, buffer)?;
    Ok(true)
}

/// Names what checkout makes of a blob, as a hash of both.
fn converted_name(id: &oid, conversion: &Conversion) -> ObjectId {
    name_of(format!("{id} {conversion:?}").as_bytes())
}

/// An id in the manner of an object's, for something made from `text`.
pub(super) fn name_of(text: &[u8]) -> ObjectId {
    let mut id = [0; 20];
    id.copy_from_slice(&Sha256::digest(text)[..20]);
    ObjectId::Sha1(id)
}

/// The path of a file, for people.
pub(super) fn path(plan: &Plan, place: Place) -> String {
    let path = plan.path_to(place.dir, plan.child(place).name);
    String::from_utf8_lossy(&path).into_owned()
}
