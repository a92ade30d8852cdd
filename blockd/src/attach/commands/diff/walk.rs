//! Reading the changes from an upper layer.

use std::{
    collections::HashSet,
    fs::{self, DirEntry, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{
    change::{Change, ChangeKind},
    marks::Marks,
};
use crate::attach::layers::git_hook;
use crate::attach::state::directory::list_directory;

/// Reads an upper layer, which need not exist, and compares it with the lower layer
/// where that is mounted.
///
/// # Errors
///
/// When a directory or a mark cannot be read.
pub(super) fn changes(upper: &Path, lower: Option<&Path>) -> io::Result<Vec<Change>> {
    let mut walk = Walk {
        upper,
        lower,
        found: Vec::new(),
        moved: HashSet::new(),
    };
    walk.directory(Path::new(""), Some(Path::new("")))?;
    let Walk {
        mut found, moved, ..
    } = walk;
    // The whiteout at the old path belongs to the rename.
    found.retain(|(change, below)| {
        !(change.kind == ChangeKind::Deleted && below.as_ref().is_some_and(|it| moved.contains(it)))
    });
    let mut changes: Vec<Change> = found.into_iter().map(|(change, _)| change).collect();
    changes.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(changes)
}

struct Walk<'a> {
    upper: &'a Path,
    lower: Option<&'a Path>,
    /// The changes, each with its path in the lower layer.
    found: Vec<(Change, Option<PathBuf>)>,
    /// Paths of the lower layer that were renamed.
    moved: HashSet<PathBuf>,
}

impl Walk<'_> {
    /// `below` is the path of this directory in the lower layer, if it has one.
    fn directory(&mut self, path: &Path, below: Option<&Path>) -> io::Result<()> {
        for entry in list_directory(&self.upper.join(path))? {
            self.entry(path, below, &entry?)?;
        }
        Ok(())
    }

    fn entry(&mut self, parent: &Path, below: Option<&Path>, entry: &DirEntry) -> io::Result<()> {
        let (name, metadata) = (entry.file_name(), entry.metadata()?);
        let marks = Marks::of(&entry.path(), &metadata)?;
        let path = parent.join(&name);
        if path == Path::new(git_hook::INCLUDED) {
            return Ok(());
        }
        let here = below.map(|below| below.join(&name));
        let from = marks.redirect.as_ref().and_then(|to| redirected(to, below));
        if marks.whiteout {
            self.push(ChangeKind::Deleted, &path, here);
            return Ok(());
        }
        if let Some(from) = &from {
            self.moved.insert(from.clone());
            let change = Change {
                from: Some(from.clone()),
                metadata: marks.metacopy,
                ..Change::new(ChangeKind::Renamed, &path)
            };
            self.found.push((change, None));
        }
        if !metadata.is_dir() {
            if from.is_none() {
                let known = self.has_below(here.as_deref(), &marks)?;
                self.file(&path, known, &marks);
            }
            return Ok(());
        }
        if from.is_some() {
            return self.directory(&path, from.as_deref());
        }
        self.plain_directory(&path, here.as_deref(), (&metadata, &marks))
    }

    fn file(&mut self, path: &Path, known: bool, marks: &Marks) {
        let kind = if known {
            ChangeKind::Modified
        } else {
            ChangeKind::Added
        };
        let change = Change {
            metadata: marks.metacopy,
            ..Change::new(kind, path)
        };
        self.found.push((change, None));
    }

    fn plain_directory(
        &mut self,
        path: &Path,
        below: Option<&Path>,
        found: (&Metadata, &Marks),
    ) -> io::Result<()> {
        let (metadata, marks) = found;
        let is_below = self.has_below(below, marks)?;
        if marks.opaque || !is_below {
            if marks.opaque && self.lower.is_some() && is_below {
                self.push(ChangeKind::Deleted, path, None);
            }
            self.push(ChangeKind::Added, path, None);
            return self.directory(path, None);
        }
        if let Some(other) = self.below_metadata(below)? {
            let is_same = (other.mode(), other.uid(), other.gid())
                == (metadata.mode(), metadata.uid(), metadata.gid());
            if !is_same {
                let change = Change {
                    metadata: true,
                    ..Change::new(ChangeKind::Modified, path)
                };
                self.found.push((change, None));
            }
        }
        self.directory(path, below)
    }

    /// What the lower layer has at a path, where it is mounted.
    fn below_metadata(&self, path: Option<&Path>) -> io::Result<Option<Metadata>> {
        let (Some(lower), Some(path)) = (self.lower, path) else {
            return Ok(None);
        };
        match fs::symlink_metadata(lower.join(path)) {
            Ok(metadata) => Ok(Some(metadata)),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the lower layer has this path. Where it is not mounted, it is known
    /// only of an entry that was copied up.
    fn has_below(&self, path: Option<&Path>, marks: &Marks) -> io::Result<bool> {
        match (self.lower, path) {
            (_, None) => Ok(false),
            (Some(_), Some(_)) => Ok(self.below_metadata(path)?.is_some()),
            (None, Some(_)) => Ok(marks.origin),
        }
    }

    fn push(&mut self, kind: ChangeKind, path: &Path, below: Option<PathBuf>) {
        self.found.push((Change::new(kind, path), below));
    }
}

/// The path that a redirect names: one that begins with `/`, or a name in the
/// directory `parent`.
fn redirected(to: &Path, parent: Option<&Path>) -> Option<PathBuf> {
    match to.strip_prefix("/") {
        Ok(absolute) => Some(absolute.to_owned()),
        Err(_) => Some(parent?.join(to)),
    }
}
