//! The content of the files of an image.

use std::sync::{Arc, OnceLock};

use gix::{ObjectId, oid};

use crate::{
    Error, Kind, Result,
    git::{Blob, Conversion, Objects, Snapshot},
    image::{
        dirs::EntryRef,
        folder::{Content, SyntheticKind},
        index::{Index, WorkTree},
        plan::Plan,
        stamp::Stamp,
    },
};

/// What a read may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadMode {
    /// Use what memory has; neither wait for a disk nor inflate anything.
    CachedOnly,
    /// Wait for disks, inflate and convert.
    Blocking,
}

/// Where the objects of an image are read from.
#[derive(Debug)]
pub enum Origin {
    /// A snapshot, which the image also shows as `.git/objects`.
    Snapshot(Arc<Snapshot>),
    /// The object directory of a repository in its current state. The image has
    /// no `.git`.
    Objects(Objects),
}

impl Origin {
    /// The objects.
    pub fn objects(&self) -> &Objects {
        match self {
            Self::Snapshot(snapshot) => snapshot.objects(),
            Self::Objects(objects) => objects,
        }
    }

    /// The snapshot, if the origin is one.
    pub fn snapshot(&self) -> Option<&Arc<Snapshot>> {
        match self {
            Self::Snapshot(snapshot) => Some(snapshot),
            Self::Objects(_) => None,
        }
    }
}

/// Reads the files of one image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    pub(super) plan: &'a Plan,
    pub(super) origin: &'a Origin,
    pub(super) stamp: &'a Stamp,
    /// The hash at the end of the git index.
    pub(super) index_hash: &'a OnceLock<ObjectId>,
    pub(super) mode: ReadMode,
}

impl Reader<'_> {
    /// Fills `buffer` from `offset` of a file on; `false` if the mode does not
    /// allow that.
    ///
    /// # Errors
    ///
    /// [`Kind::Corrupt`] if the content is not as long as planned, else as
    /// reading the object or the file of the snapshot fails; with the path.
    ///
    /// # Panics
    ///
    /// If the entry is a directory, or the plan refers to a file that is not
    /// there.
    pub(super) fn file(&self, entry: EntryRef, offset: u64, buffer: &mut [u8]) -> Result<bool> {
        let child = self.plan.child(entry);
        let blob = match child.content {
            Content::Blob {
                id,
                conversion: Some(conversion),
                ..
            } => self.converted(id, conversion, child.size),
            Content::Blob { id, .. } | Content::Symlink { id } => self.blob(id, child.size),
            Content::Synthetic(SyntheticKind::Snapshot(file)) => {
                return self.snapshot_file(file, offset, buffer);
            }
            Content::Synthetic(SyntheticKind::Small(small)) => {
                Ok(Some(Blob::InMemory(Arc::clone(&self.plan.small[small]))))
            }
            Content::Synthetic(SyntheticKind::Index) => {
                let read = self.index(child.size, offset, buffer);
                return read.map_err(|error| error.within(path(self.plan, entry)));
            }
            Content::Synthetic(SyntheticKind::Directory(_))
            | Content::Tree { .. }
            | Content::Gitlink { .. }
            | Content::DotGit => panic!("{} is a directory", path(self.plan, entry)),
        };
        let read = blob.and_then(|blob| fill(blob.as_ref(), child.size, offset, buffer));
        read.map_err(|error| error.within(path(self.plan, entry)))
    }

    fn objects(&self) -> &Objects {
        self.origin.objects()
    }

    fn blob(&self, id: &oid, size: u64) -> Result<Option<Blob>> {
        match self.mode {
            ReadMode::CachedOnly => Ok(self.objects().blob_cached(id)),
            ReadMode::Blocking => self.objects().blob(id, size).map(Some),
        }
    }

    fn converted(&self, id: &oid, conversion: &Conversion, size: u64) -> Result<Option<Blob>> {
        let (name, objects) = (conversion.key(id), self.objects());
        if self.mode == ReadMode::CachedOnly {
            return Ok(objects.derived(&name));
        }
        if let Some(blob) = objects.derived_or_spooled(&name) {
            return Ok(Some(blob));
        }
        // Before the content is made: both may be spooled, one at a time.
        let blob = objects.blob(id, objects.blob_size(id)?)?;
        let made = objects.derive(name, size, |sink| conversion.convert(id, &blob, sink));
        made.map(Some).map_err(|error| {
            if error.kind() != Kind::Corrupt {
                return error;
            }
            // The length was remembered wrongly: the next image has the right one.
            match objects.measure_anew(id, &blob, conversion) {
                Ok(()) => error,
                Err(also) => also.within(error),
            }
        })
    }

    fn index(&self, size: u64, offset: u64, buffer: &mut [u8]) -> Result<bool> {
        let map = self.plan.index.as_ref();
        let map = map.expect("an image with an index has its map");
        check_size(map.length(), size)?;
        let index = Index {
            map,
            work_tree: WorkTree {
                dirs: &self.plan.dirs,
                by_inode: &self.plan.by_inode,
            },
            stamp: self.stamp,
            hash: self.index_hash,
        };
        if self.mode == ReadMode::CachedOnly && !index.is_quick(offset, buffer.len()) {
            return Ok(false);
        }
        index.read(offset, buffer);
        Ok(true)
    }

    fn snapshot_file(&self, file: usize, offset: u64, buffer: &mut [u8]) -> Result<bool> {
        let snapshot = self.origin.snapshot();
        let file = snapshot
            .and_then(|snapshot| snapshot.files().get(file))
            .expect("a plan refers to files of its own snapshot only");
        match self.mode {
            ReadMode::CachedOnly => file.try_read_cached(offset, buffer),
            ReadMode::Blocking => file.read_at(offset, buffer).map(|()| true),
        }
    }
}

/// Fills `buffer` from content that is planned to be `size` bytes long; `false`
/// if there is none yet.
fn fill(blob: Option<&Blob>, size: u64, offset: u64, buffer: &mut [u8]) -> Result<bool> {
    let Some(blob) = blob else { return Ok(false) };
    check_size(blob.len(), size)?;
    blob.read_at(offset, buffer)?;
    Ok(true)
}

fn check_size(found: u64, planned: u64) -> Result<()> {
    if found == planned {
        return Ok(());
    }
    let message = format!("content of {found} bytes where {planned} were planned");
    Err(Error::new(Kind::Corrupt, message))
}

/// The path of an entry for messages.
pub(super) fn path(plan: &Plan, entry: EntryRef) -> String {
    let path = plan.path_to(entry.dir, plan.child(entry).name);
    String::from_utf8_lossy(&path).into_owned()
}
