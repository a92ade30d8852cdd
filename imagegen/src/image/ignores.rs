//! The ids by which git knows each `.gitignore` of the work tree.

use gix::{ObjectId, oid};

use crate::{
    Error, Result,
    git::{Conversion, Objects, dotgit::index::untracked},
    image::{
        dirs::{Dir, path_of_directory},
        folder::{Content, Folder},
    },
};

pub(super) const NAME: &[u8] = b".gitignore";

/// The longest `.gitignore` whose content is looked at, and the most of all
/// together, in bytes. Git itself reads those beyond, once.
const MOST_BYTES: (u64, u64) = (1 << 20, 64 << 20);

/// The slot of the `.gitignore` of a directory, if it is a regular file.
pub(super) fn slot(folder: &Folder) -> Option<usize> {
    let Folder::Tree { listing, .. } = folder else {
        return None;
    };
    // Entries are sorted, so it is among the first ones.
    let mut first = listing.iter().take_while(|entry| entry.name <= NAME);
    let slot = first.position(|entry| entry.name == NAME)?;
    matches!(folder.child(slot).content, Content::Blob { .. }).then_some(slot)
}

/// The id in the index of the `.gitignore` of a directory.
pub(super) fn tracked_id(folder: &Folder) -> Option<&oid> {
    match folder.child(slot(folder)?).content {
        Content::Blob { id, .. } => Some(id),
        _ => None,
    }
}

/// The ids of those of these directories whose `.gitignore` git converts when it
/// is added: it does not take the id in the index for theirs.
///
/// # Errors
///
/// As reading a blob fails, with the path.
pub(super) fn read_ids(
    dirs: &[Dir],
    numbers: &[usize],
    objects: &Objects,
) -> Result<Vec<(usize, ObjectId)>> {
    let (each, mut left) = MOST_BYTES;
    let mut ids = Vec::new();
    for &number in numbers {
        let folder = &dirs[number].folder;
        let child = slot(folder).map(|slot| folder.child(slot));
        let Some((Content::Blob { id, conversion, .. }, size)) =
            child.map(|child| (child.content, child.size))
        else {
            continue;
        };
        if size > each.min(left) {
            continue;
        }
        left -= size;
        let content = content(objects, id, size, conversion);
        let of_path = |error: Error| error.within(path_of_directory(dirs, number));
        let content = content.map_err(of_path)?;
        ids.push((number, untracked::read_id(id.kind(), &content)));
    }
    Ok(ids)
}

fn content(
    objects: &Objects,
    id: &oid,
    size: u64,
    conversion: Option<&Conversion>,
) -> Result<Vec<u8>> {
    let Some(conversion) = conversion else {
        return objects.blob(id, size)?.to_vec();
    };
    let blob = objects.blob(id, objects.blob_size(id)?)?;
    let mut content = Vec::new();
    conversion.convert(id, &blob, &mut |piece| {
        content.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(content)
}
