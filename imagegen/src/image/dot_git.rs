//! The directories of the synthesized `.git`, collected from the paths of its
//! files.

use std::collections::BTreeMap;

use gix::bstr::BString;

use crate::image::folder::{Synthetic, SyntheticKind};

/// The directories by number; 0 is `.git` itself.
#[derive(Debug)]
pub(super) struct DotGit {
    folders: Vec<BTreeMap<BString, (SyntheticKind, u64)>>,
}

impl DotGit {
    /// An empty `.git`.
    pub(super) fn new() -> Self {
        Self {
            folders: vec![BTreeMap::new()],
        }
    }

    /// Adds a file of `size` bytes at `path`, and the directories above it.
    pub(super) fn file(&mut self, path: &[u8], kind: SyntheticKind, size: u64) {
        let (folder, name) = match path.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => (self.directory(&path[..slash]), &path[slash + 1..]),
            None => (0, path),
        };
        self.folders[folder].insert(name.into(), (kind, size));
    }

    /// Adds the directory at `path` unless it exists; returns its number.
    pub(super) fn directory(&mut self, path: &[u8]) -> usize {
        let mut folder = 0;
        for name in path.split(|&byte| byte == b'/') {
            let next = self.folders.len();
            let (kind, _) = *self.folders[folder]
                .entry(name.into())
                .or_insert((SyntheticKind::Directory(next), 0));
            folder = match kind {
                SyntheticKind::Directory(known) if known < next => known,
                _ => {
                    self.folders.push(BTreeMap::new());
                    next
                }
            };
        }
        folder
    }

    /// The entries of each directory, sorted by name.
    pub(super) fn into_folders(self) -> Vec<Option<Vec<Synthetic>>> {
        let entry = |(name, (kind, size))| Synthetic { name, kind, size };
        self.folders
            .into_iter()
            .map(|folder| Some(folder.into_iter().map(entry).collect()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parent_directories_are_added_once() {
        let mut dot_git = DotGit::new();
        dot_git.file(b"HEAD", SyntheticKind::Small(0), 23);
        dot_git.file(b"objects/pack/a.pack", SyntheticKind::Snapshot(0), 100);
        dot_git.file(b"objects/pack/a.idx", SyntheticKind::Snapshot(1), 10);
        dot_git.directory(b"objects/info");
        let folders = dot_git.into_folders();
        let names = |number: usize| -> Vec<String> {
            folders[number]
                .iter()
                .flatten()
                .map(|entry| entry.name.to_string())
                .collect()
        };
        assert_eq!(names(0), ["HEAD", "objects"]);
        assert_eq!(names(1), ["info", "pack"]);
        assert_eq!(names(2), ["a.idx", "a.pack"]);
        assert!(names(3).is_empty());
    }
}
