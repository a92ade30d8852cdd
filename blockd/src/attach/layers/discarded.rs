//! Removing changes that are discarded, of which there may be a million files.
//!
//! They are moved away first: the mountpoint is free at once, and what a command that
//! was ended has left is found again.

use std::{
    fs,
    io::{self, ErrorKind},
    path::Path,
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::attach::state::{
    attachment_dir::AttachmentDir,
    directory::{list_directory, private_directory, remove_empty_directory, remove_file},
};

/// Moves a directory to those that are to be removed; it need not exist.
///
/// # Errors
///
/// Those of mkdir(2) and rename(2); EBUSY and EXDEV if somebody has mounted something
/// there.
pub(super) fn move_away(dir: &AttachmentDir, directory: &Path) -> io::Result<()> {
    let discarded = dir.discarded();
    loop {
        if !exists(directory)? {
            return Ok(());
        }
        let moved = private_directory(&discarded).and_then(|()| move_into(&discarded, directory));
        match moved {
            // An earlier command has just removed the last of its own.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            moved => return moved,
        }
    }
}

fn exists(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Moves a directory into another, under a name that is free.
fn move_into(discarded: &Path, directory: &Path) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}", process::id());
        match fs::rename(directory, discarded.join(name)) {
            // Of an earlier process with the same id.
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {}
            moved => return moved,
        }
    }
}

/// Removes what was moved away, now or by an earlier command; `removed` counts
/// files and directories.
///
/// Directories are moved up before they are looked into: however deep a tree is, no
/// path becomes too long, and no stack.
///
/// # Errors
///
/// Those of opendir(3), unlink(2) and rmdir(2). What several processes remove at once
/// is no error.
pub(crate) fn remove(dir: &AttachmentDir, removed: &AtomicU64) -> io::Result<()> {
    let discarded = dir.discarded();
    loop {
        let mut is_empty = true;
        for entry in list_directory(&discarded)? {
            is_empty = false;
            let path = entry?.path();
            remove_directory(&discarded, &path, removed)?;
        }
        if is_empty {
            break;
        }
    }
    remove_empty_directory(&discarded)?;
    let all = discarded.parent().expect("it is below the state directory");
    remove_empty_directory(all)
}

fn remove_directory(discarded: &Path, path: &Path, removed: &AtomicU64) -> io::Result<()> {
    for entry in list_directory(path)? {
        let entry = entry?;
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => match move_into(discarded, &entry.path()) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            },
            Ok(_) => {
                remove_file(&entry.path())?;
                removed.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    removed.fetch_add(1, Ordering::Relaxed);
    remove_empty_directory(path)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::attach::layers::beneath::tests::make_chain;

    /// Removes a tree that is too deep for std.
    pub(crate) fn remove_tree(tree: &Path) {
        let state = tempfile::tempdir_in(tree.parent().unwrap()).unwrap();
        let dir = AttachmentDir::new(state.path(), Path::new("/m"));
        move_away(&dir, tree).unwrap();
        remove(&dir, &AtomicU64::new(0)).unwrap();
        // Its guard will remove it.
        fs::create_dir(tree).unwrap();
    }

    #[test]
    fn a_chain_of_more_directories_than_may_be_open_is_removed() {
        let state = tempfile::tempdir().unwrap();
        let dir = AttachmentDir::new(state.path(), Path::new("/m"));
        let tree = state.path().join("tree");
        fs::create_dir(&tree).unwrap();
        make_chain(&tree, 2000);
        move_away(&dir, &tree).unwrap();
        let removed = AtomicU64::new(0);
        remove(&dir, &removed).unwrap();
        assert_eq!(removed.load(Ordering::Relaxed), 2001);
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_tree_is_removed_however_deep_it_is() {
        let state = tempfile::tempdir().unwrap();
        let dir = AttachmentDir::new(state.path(), Path::new("/m"));
        let (tree, shallow) = (state.path().join("tree"), state.path().join("shallow"));
        // The path of the deepest directory is longer than PATH_MAX.
        for _ in 0..3 {
            let mut deep = tree.join("a".repeat(200));
            for _ in 0..9 {
                deep.push("b".repeat(200));
            }
            fs::create_dir_all(&deep).unwrap();
            fs::write(deep.join("file"), "x").unwrap();
            if shallow.exists() {
                fs::rename(&shallow, deep.join("more")).unwrap();
            }
            fs::rename(&tree, &shallow).unwrap();
        }
        let removed = AtomicU64::new(0);
        remove(&dir, &removed).unwrap();
        move_away(&dir, &tree).unwrap();
        assert_eq!(removed.load(Ordering::Relaxed), 0);
        move_away(&dir, &shallow).unwrap();
        assert!(!shallow.exists());
        remove(&dir, &removed).unwrap();
        // A tree has its top, ten directories below, and a file.
        assert_eq!(removed.load(Ordering::Relaxed), 36);
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 0);
    }
}
