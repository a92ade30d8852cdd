//! Finding objects by the multi-pack-index of an object directory (git,
//! `Documentation/gitformat-pack.adoc`, "multi-pack-index (MIDX) files").

use std::{collections::HashMap, io, path::Path};

use gix::{hash, oid};
use gix_pack::multi_index;
use tracing::warn;

use super::{reason::corrupt, search};
use crate::{
    error::{Error, Result},
    git::{mapping::Mapping, wall::Wall},
};

/// The most memory for the names of packs, in bytes.
const NAMES_LIMIT: usize = 64 << 20;

/// A multi-pack-index, which may be older than the packs: some of its own may be
/// gone.
pub(super) struct MultiIndex {
    file: multi_index::File<Mapping>,
    mapping: Mapping,
    /// By the number of a pack in the file, its position among the packs of the
    /// scan.
    packs: Vec<Option<usize>>,
}

impl MultiIndex {
    /// Opens the one in a directory of packs, whose positions are given by the
    /// path of their index; `None` if there is none. As in git, one that cannot
    /// be read is not used.
    pub(super) fn open(
        directory: &Path,
        positions: &HashMap<&Path, usize>,
        format: hash::Kind,
        wall: &Wall,
    ) -> Option<Self> {
        let path = directory.join("multi-pack-index");
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            _ => {}
        }
        let (file, mapping) = open(&path, format, wall)
            .inspect_err(|error| warn!("packs are searched one by one, since {error}"))
            .ok()?;
        let position = |name| positions.get(directory.join(name).as_path()).copied();
        let packs = file.index_names().iter().map(position).collect();
        Some(Self {
            file,
            mapping,
            packs,
        })
    }

    /// The positions of the packs that it knows.
    pub(super) fn covered(&self) -> impl Iterator<Item = usize> + '_ {
        self.packs.iter().copied().flatten()
    }

    /// The position of the pack that has the object, and its offset there;
    /// `None` if there is no such object, or the pack is gone, or a page of the
    /// index.
    pub(super) fn find(&self, id: &oid) -> Option<(usize, u64)> {
        let ids = |at| self.file.oid_at_index(at);
        let at = search::position(self.file.num_objects(), id, ids)?;
        let (pack, offset) = self.file.pack_id_and_pack_offset_at_index(at).ok()?;
        self.mapping.check().ok()?;
        let pack = usize::try_from(pack).ok()?;
        Some(((*self.packs.get(pack)?)?, offset))
    }
}

/// Opens the multi-pack-index at `path`.
///
/// # Errors
///
/// It cannot be read, leads out, is malformed, or of another object format.
pub(in crate::git) fn open(
    path: &Path,
    format: hash::Kind,
    wall: &Wall,
) -> Result<(multi_index::File<Mapping>, Mapping)> {
    let mapping = wall.open(path).and_then(|file| Mapping::of(&file));
    let mapping = mapping.map_err(|error| Error::io("open", path, error))?;
    let file = multi_index::File::from_data(mapping.clone(), path.into(), Some(NAMES_LIMIT))
        .map_err(|error| corrupt(path, "cannot be opened", error))?;
    if file.object_hash() != format {
        return Err(corrupt(path, "is damaged", "it has another object format"));
    }
    let damaged = |error: io::Error| corrupt(path, "is damaged", error);
    mapping.check().map_err(damaged)?;
    Ok((file, mapping))
}
