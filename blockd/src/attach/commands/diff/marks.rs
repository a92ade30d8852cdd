//! The extended attributes and device nodes by which overlayfs marks entries of an
//! upper layer (Documentation/filesystems/overlayfs.rst).

use std::{
    ffi::OsString,
    fs::Metadata,
    io,
    os::unix::{
        ffi::OsStringExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{lgetxattr, llistxattr_query},
    io::Errno,
};

/// The marks of one entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a mark of its own")]
pub(super) struct Marks {
    /// What is at this path of the lower layer was removed.
    pub(super) whiteout: bool,
    /// A directory that hides the one at this path of the lower layer.
    pub(super) opaque: bool,
    /// It was copied up from the lower layer.
    pub(super) origin: bool,
    /// Only its metadata was copied up.
    pub(super) metacopy: bool,
    /// Its path in the lower layer, if that is another: an absolute path, or a name
    /// in the same directory.
    pub(super) redirect: Option<PathBuf>,
}

impl Marks {
    /// The marks of the entry at `path`.
    ///
    /// # Errors
    ///
    /// Those of lgetxattr(2), but for those that say that there is no such mark.
    pub(super) fn of(path: &Path, metadata: &Metadata) -> io::Result<Self> {
        let device = metadata.file_type().is_char_device() && metadata.rdev() == 0;
        if !has_attributes(path)? {
            return Ok(Self {
                whiteout: device,
                ..Self::default()
            });
        }
        let redirect = mark(path, "redirect")?.map(|value| OsString::from_vec(value).into());
        Ok(Self {
            whiteout: device || mark(path, "whiteout")?.is_some(),
            opaque: mark(path, "opaque")?.is_some_and(|value| value == b"y"),
            origin: mark(path, "origin")?.is_some(),
            metacopy: mark(path, "metacopy")?.is_some(),
            redirect,
        })
    }
}

/// Whether an entry has any extended attribute: most of what is new has none, and
/// to ask for each of them would take as long as all the rest.
fn has_attributes(path: &Path) -> io::Result<bool> {
    match llistxattr_query(path) {
        Ok(length) => Ok(length > 0),
        Err(Errno::OPNOTSUPP) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn mark(path: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
    // The longest is `redirect`, a path.
    let mut value = vec![0; 4096];
    match lgetxattr(path, format!("trusted.overlay.{name}"), &mut value[..]) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
