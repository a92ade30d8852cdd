//! The upper layer: what of the work tree is not that of the image.
//!
//! A directory is in both layers when something below it has changed, and is then
//! shown merged; or it has been made anew, or moved there, and then hides what the
//! image has at its path. The attributes that tell them apart (`trusted.overlay.*`)
//! are root's alone. So they are told by their inode: a merged directory has that of
//! the image's, and above it the number of the layer, with `xino`
//! (Documentation/filesystems/overlayfs.rst, "Inode properties").

use std::{
    fs::{self, Metadata},
    io,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

/// What lies in the low bits of an inode's number is the layer's own.
const OWN_BITS: u64 = 0xffff_ffff;

/// The changes, as paths below the work tree.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Everything that the upper layer has, but merged directories, and but what is
    /// in those that are not merged.
    pub(super) names: Vec<Vec<u8>>,
    /// Those of them that are directories.
    pub(super) replaced: Vec<Vec<u8>>,
}

impl Changes {
    /// Reads the upper layer. The current directory is the work tree.
    ///
    /// # Errors
    ///
    /// When a directory cannot be read.
    pub(super) fn find(upper: &Path, lower: &Path) -> io::Result<Self> {
        let mut walk = Walk {
            upper,
            lower,
            layer: layer(upper, lower)?,
            found: Self::default(),
        };
        let mut pending = vec![PathBuf::new()];
        while let Some(directory) = pending.pop() {
            walk.directory(&directory, &mut pending)?;
        }
        Ok(walk.found)
    }
}

struct Walk<'a> {
    upper: &'a Path,
    lower: &'a Path,
    /// What is added to the inode of a directory of the image; `None` if that is not
    /// known, and no directory known to be merged.
    layer: Option<u64>,
    found: Changes,
}

impl Walk<'_> {
    fn directory(&mut self, path: &Path, pending: &mut Vec<PathBuf>) -> io::Result<()> {
        let is_root = path.as_os_str().is_empty();
        for entry in fs::read_dir(self.upper.join(path))? {
            let entry = entry?;
            if is_root && entry.file_name() == ".git" {
                continue;
            }
            let path = path.join(entry.file_name());
            if !entry.file_type()?.is_dir() {
                self.found.names.push(bytes(&path));
            } else if self.is_merged(&path)? && !self.is_repository(&path)? {
                pending.push(path);
            } else {
                self.found.names.push(bytes(&path));
                self.found.replaced.push(bytes(&path));
            }
        }
        Ok(())
    }

    /// Whether a directory of the upper layer is shown with what the image has at
    /// its path.
    fn is_merged(&self, path: &Path) -> io::Result<bool> {
        let Some(layer) = self.layer else {
            return Ok(false);
        };
        let (Some(shown), Some(below)) = (found(path)?, found(&self.lower.join(path))?) else {
            return Ok(false);
        };
        Ok(below.is_dir() && below.ino().checked_add(layer) == Some(shown.ino()))
    }

    /// Whether it is a work tree of its own: a submodule, of which git's index has
    /// no more than that it is there.
    fn is_repository(&self, path: &Path) -> io::Result<bool> {
        let dot_git = self.upper.join(path).join(".git");
        Ok(found(&dot_git)?.is_some())
    }
}

/// The number of the image's layer in the inodes of the work tree, found by an entry
/// of the root that the upper layer has not got. Without one there is none of the
/// kernel's either, or it cannot be told.
fn layer(upper: &Path, lower: &Path) -> io::Result<Option<u64>> {
    for entry in fs::read_dir(lower)? {
        let name = entry?.file_name();
        if found(&upper.join(&name))?.is_some() {
            continue;
        }
        let (Some(shown), Some(below)) = (found(Path::new(&name))?, found(&lower.join(&name))?)
        else {
            continue;
        };
        let layer = shown.ino().checked_sub(below.ino());
        return Ok(layer.filter(|layer| *layer != 0 && layer & OWN_BITS == 0));
    }
    Ok(None)
}

/// What lstat(2) says; `None` if there is nothing.
fn found(path: &Path) -> io::Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
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

fn bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_vec()
}
