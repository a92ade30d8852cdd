//! What lies in an object directory and its alternates at one moment.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use gix::{hash, odb};

use super::pack::Pack;

/// As deep as git follows alternates of alternates.
const ALTERNATES_DEPTH: usize = 5;

/// The packs of an object directory and its alternates.
#[derive(Default)]
pub(super) struct Scan {
    /// The object directories; the repository's own comes first.
    pub(super) directories: Vec<PathBuf>,
    /// The packs, the newest first.
    pub(super) packs: Vec<Arc<Pack>>,
    /// Where each pack came from, in the same order.
    origins: Vec<Origin>,
    /// What could not be opened, in sentences.
    pub(super) broken: Vec<String>,
    /// Whether a promisor remote holds back objects.
    pub(super) promisor: bool,
}

/// Tells one file at a path from the next one there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    path: PathBuf,
    device: u64,
    inode: u64,
    modified: SystemTime,
}

impl Scan {
    /// Looks at the disk; packs that `before` has open stay open.
    pub(super) fn new(objects: &Path, format: hash::Kind, before: &Self) -> Self {
        let mut scan = Self::default();
        scan.directories = directories(objects, &mut scan.broken);
        let mut origins = Vec::new();
        for directory in &scan.directories {
            scan.promisor |= list_packs(&directory.join("pack"), &mut origins);
        }
        origins.sort_by(|a, b| {
            b.modified
                .cmp(&a.modified)
                .then_with(|| a.path.cmp(&b.path))
        });
        for origin in origins {
            let known = before.origins.iter().position(|known| *known == origin);
            let pack = match known.and_then(|at| before.packs.get(at)) {
                Some(pack) => Ok(Arc::clone(pack)),
                None => Pack::open(&origin.path, format).map(Arc::new),
            };
            match pack {
                Ok(pack) => {
                    scan.packs.push(pack);
                    scan.origins.push(origin);
                }
                // A pack that went away meanwhile is no news.
                Err(_) if !origin.path.with_extension("pack").exists() => {}
                Err(error) => scan.broken.push(error.to_string()),
            }
        }
        scan
    }

    /// Whether nothing came or went since `before`.
    pub(super) fn is_same(&self, before: &Self) -> bool {
        self.directories == before.directories
            && self.origins == before.origins
            && self.broken == before.broken
    }
}

/// Adds the indexes in `directory` that have a pack; says whether any of them
/// came from a promisor.
fn list_packs(directory: &Path, origins: &mut Vec<Origin>) -> bool {
    let Ok(entries) = fs::read_dir(directory) else {
        return false;
    };
    let mut promisor = false;
    for path in entries.flatten().map(|entry| entry.path()) {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("promisor") => promisor = true,
            Some("idx") if path.with_extension("pack").exists() => {
                let Ok(about) = fs::metadata(&path) else {
                    continue;
                };
                let modified = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                let (device, inode) = (about.dev(), about.ino());
                origins.push(Origin {
                    path,
                    device,
                    inode,
                    modified,
                });
            }
            _ => {}
        }
    }
    promisor
}

/// `objects` and all its alternates, each once. As in git, an alternate that
/// is not there is passed over; `broken` says so if an object should be
/// missing later.
pub(in crate::git) fn directories(objects: &Path, broken: &mut Vec<String>) -> Vec<PathBuf> {
    let mut found = vec![objects.to_path_buf()];
    let mut seen: Vec<_> = fs::canonicalize(objects).into_iter().collect();
    let mut ring = found.clone();
    for _ in 0..ALTERNATES_DEPTH {
        let named = ring
            .iter()
            .flat_map(|directory| alternates(directory))
            .collect::<Vec<_>>();
        ring.clear();
        for path in named {
            match fs::canonicalize(&path) {
                Ok(path) if seen.contains(&path) => {}
                Ok(path) => {
                    seen.push(path.clone());
                    ring.push(path);
                }
                Err(error) => {
                    broken.push(format!(
                        "alternate {} is not there: {error}",
                        path.display()
                    ));
                }
            }
        }
        found.extend_from_slice(&ring);
    }
    found
}

/// The directories that `info/alternates` names.
fn alternates(directory: &Path) -> Vec<PathBuf> {
    let Ok(text) = fs::read(directory.join("info/alternates")) else {
        return Vec::new();
    };
    let paths = odb::alternate::parse(&text).unwrap_or_default();
    paths.into_iter().map(|path| directory.join(path)).collect()
}
