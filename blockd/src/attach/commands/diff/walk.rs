//! From an upper layer to a list of changes.

use std::{
    collections::HashSet,
    fs::{self, DirEntry, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::attach::commands::diff::{Change, Kind, marks::Marks};

/// Reads an upper layer, beside the lower one where that is mounted.
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
    // The whiteout that a rename leaves behind is a part of the rename.
    found.retain(|(change, below)| {
        !(change.kind == Kind::Deleted && below.as_ref().is_some_and(|it| moved.contains(it)))
    });
    let mut changes: Vec<Change> = found.into_iter().map(|(change, _)| change).collect();
    changes.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(changes)
}

struct Walk<'a> {
    upper: &'a Path,
    lower: Option<&'a Path>,
    /// Changes, and where the entry is in the lower layer.
    found: Vec<(Change, Option<PathBuf>)>,
    /// Paths of the lower layer that have another name now.
    moved: HashSet<PathBuf>,
}

impl Walk<'_> {
    /// `below`: where this directory is in the lower layer, if it is there.
    fn directory(&mut self, path: &Path, below: Option<&Path>) -> io::Result<()> {
        for entry in fs::read_dir(self.upper.join(path))? {
            self.entry(path, below, &entry?)?;
        }
        Ok(())
    }

    fn entry(&mut self, parent: &Path, below: Option<&Path>, entry: &DirEntry) -> io::Result<()> {
        let (name, metadata) = (entry.file_name(), entry.metadata()?);
        let marks = Marks::of(&entry.path(), &metadata);
        let path = parent.join(&name);
        let here = below.map(|below| below.join(&name));
        let from = marks.redirect.as_ref().and_then(|to| redirected(to, below));
        if marks.whiteout {
            self.push(Kind::Deleted, &path, here);
            return Ok(());
        }
        if let Some(from) = &from {
            self.moved.insert(from.clone());
            let change = Change {
                from: Some(from.clone()),
                metadata: marks.metacopy,
                ..Change::new(Kind::Renamed, &path)
            };
            self.found.push((change, None));
        }
        if !metadata.is_dir() {
            if from.is_none() {
                let known = self.has_below(here.as_deref(), &marks);
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
        let kind = if known { Kind::Modified } else { Kind::Added };
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
        let is_below = self.has_below(below, marks);
        if marks.opaque || !is_below {
            if marks.opaque && self.lower.is_some() && is_below {
                self.push(Kind::Deleted, path, None);
            }
            self.push(Kind::Added, path, None);
            return self.directory(path, None);
        }
        let other = self
            .below(below)
            .and_then(|it| fs::symlink_metadata(it).ok());
        let same = |other: &Metadata| {
            (other.mode(), other.uid(), other.gid())
                == (metadata.mode(), metadata.uid(), metadata.gid())
        };
        if other.is_some_and(|other| !same(&other)) {
            let change = Change {
                metadata: true,
                ..Change::new(Kind::Modified, path)
            };
            self.found.push((change, None));
        }
        self.directory(path, below)
    }

    fn below(&self, path: Option<&Path>) -> Option<PathBuf> {
        Some(self.lower?.join(path?))
    }

    /// Whether the lower layer has this path: it is asked, or where it is not
    /// mounted, whether the entry came from there.
    fn has_below(&self, path: Option<&Path>, marks: &Marks) -> bool {
        match (self.lower, path) {
            (_, None) => false,
            (Some(lower), Some(path)) => fs::symlink_metadata(lower.join(path)).is_ok(),
            (None, Some(_)) => marks.origin,
        }
    }

    fn push(&mut self, kind: Kind, path: &Path, below: Option<PathBuf>) {
        self.found.push((Change::new(kind, path), below));
    }
}

/// Where an entry was: `/from/the/top`, or a name beside the parent's.
fn redirected(to: &Path, parent: Option<&Path>) -> Option<PathBuf> {
    match to.strip_prefix("/") {
        Ok(absolute) => Some(absolute.to_owned()),
        Err(_) => Some(parent?.join(to)),
    }
}
