//! The directories of the synthesized `.git`, from its files' paths.

use std::collections::BTreeMap;

use gix::bstr::BString;

use crate::image::folder::{Made, MadeKind};

/// Made directories by number; 0 is `.git` itself.
#[derive(Debug, Default)]
pub(super) struct DotGit {
    folders: Vec<BTreeMap<BString, (MadeKind, u64)>>,
}

impl DotGit {
    /// A `.git` with nothing in it.
    pub(super) fn new() -> Self {
        Self {
            folders: vec![BTreeMap::new()],
        }
    }

    /// Puts a file at `path`, and the directories on the way there.
    pub(super) fn file(&mut self, path: &[u8], kind: MadeKind, size: u64) {
        let (folder, name) = match path.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => (self.directory(&path[..slash]), &path[slash + 1..]),
            None => (0, path),
        };
        self.folders[folder].insert(name.into(), (kind, size));
    }

    /// Makes the directory at `path`, unless it is there, and says its number.
    pub(super) fn directory(&mut self, path: &[u8]) -> usize {
        let mut folder = 0;
        for name in path.split(|&byte| byte == b'/') {
            let next = self.folders.len();
            let (kind, _) = *self.folders[folder]
                .entry(name.into())
                .or_insert((MadeKind::Directory(next), 0));
            folder = match kind {
                MadeKind::Directory(known) if known < next => known,
                _ => {
                    self.folders.push(BTreeMap::new());
                    next
                }
            };
        }
        folder
    }

    /// The entries of each directory, sorted by name.
    pub(super) fn into_folders(self) -> Vec<Option<Vec<Made>>> {
        let made = |(name, (kind, size))| Made { name, kind, size };
        self.folders
            .into_iter()
            .map(|folder| Some(folder.into_iter().map(made).collect()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_made_on_the_way_and_once() {
        let mut dot_git = DotGit::new();
        dot_git.file(b"HEAD", MadeKind::Small(0), 23);
        dot_git.file(b"objects/pack/a.pack", MadeKind::Snapshot(0), 100);
        dot_git.file(b"objects/pack/a.idx", MadeKind::Snapshot(1), 10);
        dot_git.directory(b"objects/info");
        let folders = dot_git.into_folders();
        let names = |number: usize| -> Vec<String> {
            folders[number]
                .iter()
                .flatten()
                .map(|made| made.name.to_string())
                .collect()
        };
        assert_eq!(names(0), ["HEAD", "objects"]);
        assert_eq!(names(1), ["info", "pack"]);
        assert_eq!(names(2), ["a.idx", "a.pack"]);
        assert!(names(3).is_empty());
    }
}
