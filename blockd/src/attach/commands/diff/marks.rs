//! What overlayfs writes beside the entries of an upper layer
//! (Documentation/filesystems/overlayfs.rst).

use std::{
    ffi::OsString,
    fs::Metadata,
    os::unix::{
        ffi::OsStringExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use rustix::fs::lgetxattr;

/// The marks of one entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a mark of its own")]
pub(super) struct Marks {
    /// It stands for the absence of what is below.
    pub(super) whiteout: bool,
    /// A directory that hides the one below.
    pub(super) opaque: bool,
    /// It was copied up from below.
    pub(super) origin: bool,
    /// Only its metadata was copied up.
    pub(super) metacopy: bool,
    /// It was somewhere else below: an absolute path, or a name in the same
    /// directory.
    pub(super) redirect: Option<PathBuf>,
}

impl Marks {
    pub(super) fn of(path: &Path, metadata: &Metadata) -> Self {
        let device = metadata.file_type().is_char_device() && metadata.rdev() == 0;
        let redirect = mark(path, "redirect").map(|value| OsString::from_vec(value).into());
        Self {
            whiteout: device || mark(path, "whiteout").is_some(),
            opaque: mark(path, "opaque").is_some_and(|value| value == b"y"),
            origin: mark(path, "origin").is_some(),
            metacopy: mark(path, "metacopy").is_some(),
            redirect,
        }
    }
}

fn mark(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 4096];
    let length = lgetxattr(path, format!("trusted.overlay.{name}"), &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}
