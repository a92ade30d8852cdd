//! Scanning an object directory and its alternates for packs.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use gix::{hash, odb};

use super::{
    multi_index::MultiIndex,
    pack_file::{MappedPacks, Origin, PackFile},
};
use crate::git::wall::Wall;

/// The longest list of alternates in bytes.
const ALTERNATES_LIMIT: u64 = 1 << 20;
/// How many levels of alternates git follows.
const ALTERNATES_DEPTH: usize = 5;

/// The packs of an object directory and its alternates.
#[derive(Default)]
pub(super) struct Scan {
    /// The object directories, the repository's own first.
    pub(super) directories: Vec<PathBuf>,
    /// The packs, the newest first.
    pub(super) packs: Vec<Arc<PackFile>>,
    /// The multi-pack-indexes of the directories.
    pub(super) multi: Vec<MultiIndex>,
    /// The positions of the packs that are in none of these, in order.
    pub(super) single: Vec<usize>,
    /// Messages about everything that could not be read.
    pub(super) damaged: Vec<String>,
    /// Whether a pack is from a promisor remote, so that objects may be
    /// missing.
    pub(super) promisor: bool,
}

impl Scan {
    /// Scans the disk. Packs that are in `before` stay what they are, unless they
    /// were found damaged and are not any more.
    pub(super) fn new(
        objects: &Path,
        format: hash::Kind,
        before: &Self,
        wall: &Wall,
        mapped: &Arc<MappedPacks>,
    ) -> Self {
        let mut scan = Self::default();
        scan.directories = directories(objects, wall, &mut scan.damaged);
        let mut origins = Vec::new();
        for directory in &scan.directories {
            let directory = directory.join("pack");
            match list_packs(&directory, &mut origins) {
                Ok(promisor) => scan.promisor |= promisor,
                Err(error) => scan.damaged.push(unreadable(&directory, &error)),
            }
        }
        origins.sort_by(|a, b| {
            b.modified
                .cmp(&a.modified)
                .then_with(|| a.path.cmp(&b.path))
        });
        let known: HashMap<&Path, &Arc<PackFile>> = before
            .packs
            .iter()
            .map(|pack| (pack.path(), pack))
            .collect();
        for origin in origins {
            let known = known.get(origin.path.as_path()).copied();
            let known = known.filter(|known| *known.origin() == origin);
            let new = || Arc::new(PackFile::new(origin.clone(), format, wall, mapped));
            scan.packs.push(match known {
                Some(pack) if pack.damage().is_some() => Some(new())
                    .filter(|new| new.open().is_ok())
                    .unwrap_or_else(|| Arc::clone(pack)),
                Some(pack) => Arc::clone(pack),
                None => new(),
            });
        }
        scan.open_multi(format, wall);
        scan
    }

    /// Opens the multi-pack-indexes, and finds the packs that are in none.
    fn open_multi(&mut self, format: hash::Kind, wall: &Wall) {
        let packs = self.packs.iter().enumerate();
        let positions = packs.map(|(at, pack)| (pack.path(), at)).collect();
        let open = |directory: &PathBuf| {
            MultiIndex::open(&directory.join("pack"), &positions, format, wall)
        };
        self.multi = self.directories.iter().filter_map(open).collect();
        let covered: HashSet<_> = self.multi.iter().flat_map(MultiIndex::covered).collect();
        let all = 0..self.packs.len();
        self.single = all.filter(|at| !covered.contains(at)).collect();
    }

    /// Keeps the packs mapped of which a file is a symlink: its target may be
    /// removed.
    pub(super) fn pin_symlinks(&self) {
        let is_symlink = |path: &Path| path.is_symlink();
        for pack in &self.packs {
            if is_symlink(pack.path()) || is_symlink(&pack.path().with_extension("pack")) {
                pack.pin();
            }
        }
    }

    /// Whether nothing was added or removed since `before`.
    pub(super) fn is_same(&self, before: &Self) -> bool {
        self.directories == before.directories
            && self.packs.len() == before.packs.len()
            && self
                .packs
                .iter()
                .zip(&before.packs)
                .all(|(one, other)| Arc::ptr_eq(one, other))
            && self.damaged == before.damaged
    }
}

/// Adds the indexes in `directory` that have a pack; returns whether a pack is
/// from a promisor remote. A directory that does not exist has no packs.
fn list_packs(directory: &Path, origins: &mut Vec<Origin>) -> io::Result<bool> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut promisor = false;
    for entry in entries {
        let path = entry?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("promisor") => promisor = true,
            Some("idx") if path.with_extension("pack").exists() => {
                match fs::metadata(&path) {
                    Ok(metadata) => origins.push(Origin {
                        device: metadata.dev(),
                        inode: metadata.ino(),
                        modified: metadata.modified()?,
                        path,
                    }),
                    // Removed meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            _ => {}
        }
    }
    Ok(promisor)
}

/// `objects` and all its alternates, each once. As in git, an alternate that
/// cannot be read is skipped; the reason is added to `damaged`, in case that
/// objects are missing. So is one that leads out.
pub(in crate::git) fn directories(
    objects: &Path,
    wall: &Wall,
    damaged: &mut Vec<String>,
) -> Vec<PathBuf> {
    let mut found = vec![objects.to_path_buf()];
    let mut seen: Vec<_> = fs::canonicalize(objects).into_iter().collect();
    let mut level = found.clone();
    for _ in 0..ALTERNATES_DEPTH {
        let mut next = Vec::new();
        for directory in &level {
            next.extend(alternates(directory, wall, damaged));
        }
        level.clear();
        for path in next {
            match wall.admit(&path) {
                Ok(path) if seen.contains(&path) => {}
                Ok(path) => {
                    seen.push(path.clone());
                    level.push(path);
                }
                Err(error) => damaged.push(format!(
                    "the alternate {} cannot be read: {error}",
                    path.display()
                )),
            }
        }
        found.extend_from_slice(&level);
    }
    found
}

/// The directories listed in `info/alternates`.
fn alternates(directory: &Path, wall: &Wall, damaged: &mut Vec<String>) -> Vec<PathBuf> {
    let path = directory.join("info/alternates");
    let text = match wall.read(&path, ALTERNATES_LIMIT) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            damaged.push(unreadable(&path, &error));
            return Vec::new();
        }
    };
    let Ok(paths) = odb::alternate::parse(&text) else {
        damaged.push(format!("{} is malformed", path.display()));
        return Vec::new();
    };
    paths.into_iter().map(|path| directory.join(path)).collect()
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("{} cannot be read: {error}", path.display())
}
