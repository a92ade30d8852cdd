//! A pack of what can be reached from one commit, and of nothing else: for images
//! that must not show what else lies in the packs of a repository, such as objects of
//! hidden refs, of other repositories that share them, and those that no ref has.
//!
//! ```text
//! closure  the ids of commits, trees, blobs and tags, and the refs that they have
//! pack     their entries, copied from the packs of the repository where they can be
//! index    where each is in the pack
//! ```

mod bounds;
mod closure;
mod index;
mod pack;

use std::{
    fs,
    path::{Path, PathBuf},
};

use gix::ObjectId;

use super::{Objects, Refs, private};
use crate::error::{Error, Result};

pub use self::bounds::Bounds;
pub(super) use self::closure::Closure;

/// Finds what can be reached from `commit`.
///
/// # Errors
///
/// [`Kind::NotFound`](crate::Kind::NotFound) and
/// [`Kind::Corrupt`](crate::Kind::Corrupt) if an object of it cannot be read; and
/// those of the bounds.
pub(super) fn closure(
    objects: &Objects,
    commit: ObjectId,
    (refs, shallow): (Refs, &[ObjectId]),
    bounds: &Bounds<'_>,
) -> Result<Closure> {
    Closure::of(objects, commit, (refs, shallow), bounds)
}

/// Writes the pack of a closure and its index into a directory, under the names that
/// git gives them; returns these.
///
/// # Errors
///
/// As [`closure()`]; [`Kind::Unsupported`](crate::Kind::Unsupported) if the pack has more
/// bytes than it may, [`Kind::Io`](crate::Kind::Io) if a disk fails.
pub(super) fn write(
    directory: &Path,
    objects: &Objects,
    closure: &Closure,
    bounds: &Bounds<'_>,
) -> Result<[PathBuf; 2]> {
    let new = directory.join("pack.new");
    let failed = |error| Error::io("write", &new, error);
    let file = private::create_new(&new).map_err(failed)?;
    let written = pack::write(file, objects, closure, bounds)?;
    let name = |end: &str| directory.join(format!("pack-{}.{end}", written.checksum));
    let (pack, index) = (name("pack"), name("idx"));
    fs::rename(&new, &pack).map_err(failed)?;
    let written = private::create_new(&index).and_then(|file| written.write_index(file));
    written.map_err(|error| Error::io("write", &index, error))?;
    Ok([pack, index])
}
