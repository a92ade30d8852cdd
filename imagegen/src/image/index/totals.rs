//! How many entries of the index each directory has.

use crate::image::{dirs::Dir, folder::Folder};

/// The index entries below a directory at any depth, and its direct subtrees.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Total {
    pub(super) files: u32,
    pub(super) subtrees: u32,
    /// Whether it, or a directory below it, is not a tree as git writes it.
    pub(super) is_invalid: bool,
}

/// Those of all directories. Parents precede their children, so one pass from
/// the end computes all sums.
pub(super) fn totals(dirs: &[Dir]) -> Vec<Total> {
    let mut totals = vec![Total::default(); dirs.len()];
    for (number, dir) in dirs.iter().enumerate().rev() {
        totals[number].files += dir.layout.indexed_files;
        if let Folder::Tree { listing, .. } = &dir.folder {
            totals[number].is_invalid |= !listing.is_canonical();
        }
        if number != 0 {
            let is_tree = matches!(dir.folder, Folder::Tree { .. });
            let Total {
                files, is_invalid, ..
            } = totals[number];
            totals[dir.parent].is_invalid |= is_invalid;
            totals[dir.parent].files += files;
            totals[dir.parent].subtrees += u32::from(is_tree);
        }
    }
    totals
}
