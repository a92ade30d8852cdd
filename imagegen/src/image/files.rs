//! The files of the commit, by path and by where on the disk they lie.

use std::ops::Range;

use crate::ext4::BLOCK_SIZE;
use crate::image::{Image, extent_map::Source, folder::Content, numbers::wide, plan::Place};

impl Image {
    /// The path of the file that has the byte at `offset`, without a slash in
    /// front; None where there is metadata, free space, or a file of `.git`.
    pub fn file_at(&self, offset: u64) -> Option<Vec<u8>> {
        if offset >= self.size() {
            return None;
        }
        let Source::File { place, .. } = self.plan.piece(offset).source else {
            return None;
        };
        let child = self.plan.child(place);
        matches!(child.content, Content::Blob { .. })
            .then(|| self.plan.path_to(place.dir, child.name))
    }

    /// Calls `each` with every file of the commit that is not empty: its path,
    /// and its bytes on the disk.
    pub fn each_file(&self, each: &mut dyn FnMut(&[u8], Range<u64>)) {
        for (number, dir) in self.plan.dirs.iter().enumerate() {
            let mut path = self.plan.path_of(number);
            if !path.is_empty() {
                path.push(b'/');
            }
            let folder = path.len();
            for (slot, child) in dir.folder.children().enumerate() {
                if !matches!(child.content, Content::Blob { .. }) || child.size == 0 {
                    continue;
                }
                let place = Place { dir: number, slot };
                let start = self.plan.data_of(place).0 * wide(BLOCK_SIZE);
                path.truncate(folder);
                path.extend_from_slice(child.name);
                each(&path, start..start + child.size);
            }
        }
    }
}
